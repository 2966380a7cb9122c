import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Browser, Locator, Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { mintToken } from '../src/mint-token.ts'
import { PageApp, answerOf, eventually, say, squashed } from './page-app.ts'

const MARKDOWN = [
  'All:',
  '```ts',
  'const a = 1',
  '```',
  '',
  '| a | b |',
  '| - | - |',
  '| 1 | 2 |',
  '',
  '# Title',
  '- [x] done',
].join('\n')

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** That the page can be used by everybody, everywhere, and by nobody else's text. */
export function accessTests(browser: () => Browser): void {
  test.each(['light', 'dark'] as const)(
    'axe finds nothing on any page, in the %s theme',
    async (theme) => {
      await using app = await PageApp.start(browser())
      const colorScheme = theme === 'light' ? 'dark' : 'light'
      const page = await app.open('/#/settings', { colorScheme, reducedMotion: 'reduce' })
      // What the reader chooses counts, whatever the system says.
      await page.locator(`input[name=theme][value=${theme}]`).check()
      expect(await page.evaluate('getComputedStyle(document.documentElement).colorScheme')).toBe(theme)
      expect(await violations(page)).toEqual([])
      await page.getByTestId('new-thread').click()
      expect(await violations(page)).toEqual([])
      await say(page, MARKDOWN)
      await page.getByTestId('run-end').waitFor()
      await say(page, 'Tell me a long story')
      await page.getByTestId('run-end').nth(1).waitFor()
      expect(await violations(page)).toEqual([])
      await page.getByTestId('agent').selectOption('showcase')
      await say(page, 'Plan a day in Kyoto.')
      await page.getByTestId('approve').waitFor()
      await page.getByTestId('toggle-events').click()
      await page.locator('.event-row').last().click()
      await say(page, 'This one has to wait.')
      await page.getByTestId('waiting').waitFor()
      expect(await violations(page)).toEqual([])
      await page.getByTestId('artifact').click()
      await page.getByTestId('cut').click()
      await page.getByTestId('away-note').waitFor()
      expect(await violations(page)).toEqual([])
      await page.getByTestId('cut').click()
      for (const name of ['connections', 'wires']) {
        await page.goto(`${app.url}/#/${name}`)
        await page.locator('#page-title').waitFor()
        expect(await violations(page), name).toEqual([])
      }
    },
    60_000,
  )

  test('on a phone nothing is wider than the screen', async () => {
    await using app = await PageApp.start(browser())
    const page = await app.openPhone()
    expect(await overhang(page)).toBe(0)
    await page.getByTestId('agent').selectOption('showcase')
    await say(page, `Plan a day in ${'Llanfairpwllgwyngyll'.repeat(6)}.`)
    await page.getByTestId('approve').waitFor()
    expect(await overhang(page)).toBe(0)
    await page.getByTestId('toggle-events').tap()
    expect(await overhang(page)).toBe(0)
    await page.keyboard.press('Escape')
    await page.getByTestId('menu').tap()
    expect(await overhang(page)).toBe(0)
    for (const name of ['Connections', 'Wires', 'Settings']) {
      if (name !== 'Connections') await page.getByTestId('menu').tap()
      await page.getByRole('link', { name }).tap()
      await page.getByRole('heading', { name, level: 2 }).waitFor()
      expect(await overhang(page), name).toBe(0)
    }
    expect(app.problems).toEqual([])
  }, 40_000)

  test('everything can be done with the keyboard, and a screen reader hears of the end', async () => {
    await using app = await PageApp.start(browser(), { tokensPerSecond: 60 })
    const page = await app.open()
    await eventually(
      () => focused(page),
      (it) => it.toBe('composer'),
    )
    await page.keyboard.type('Tell me')
    await page.keyboard.press('Shift+Enter')
    await page.keyboard.type('a long story')
    expect(await page.getByTestId('composer').inputValue()).toBe('Tell me\na long story')
    await page.keyboard.press('Enter')
    await eventually(
      () => answerOf(page).textContent(),
      (it) => it.toContain('tollhouse'),
    )
    expect(await page.getByTestId('announcer').textContent()).toBe('')
    await page.keyboard.press('Escape')
    await eventually(
      () => page.getByTestId('announcer').textContent(),
      (it) => it.toMatch(/^Stopped\..*tollhouse/s),
    )
    expect((await app.storedAnswer(page)).status).toBe('cancelled')
    await tabTo(page, 'cut')
    await page.keyboard.press('Space')
    await eventually(
      () => page.getByTestId('cut').getAttribute('aria-checked'),
      (it) => it.toBe('true'),
    )
    await page.keyboard.press('Space')
    await tabTo(page, 'new-thread')
    expect(await outlined(page)).toBe(true)
    await page.keyboard.press('Enter')
    await page.getByTestId('welcome').waitFor()
    expect(await focused(page)).toBe('composer')
    expect(app.problems).toEqual([])
  }, 40_000)

  test('who reads further up is left there, and told of new text', async () => {
    await using app = await PageApp.start(browser(), { tokensPerSecond: 60 })
    const page = await app.open('/', { viewport: { width: 900, height: 420 } })
    await say(page, 'Tell me a long story')
    await eventually(
      () => answerOf(page).textContent(),
      (it) => it.toContain('messenger'),
    )
    await page.mouse.move(600, 200)
    await page.mouse.wheel(0, -200)
    await eventually(
      () => page.getByTestId('jump').textContent(),
      (it) => it.toContain('New text below'),
    )
    const top = await scrollTop(page)
    await eventually(
      () => answerOf(page).textContent(),
      (it) => it.toContain('The keeper opened the book'),
    )
    expect(await scrollTop(page)).toBe(top)
    await page.getByTestId('jump').click()
    await page.getByTestId('jump').waitFor({ state: 'hidden' })
    await eventually(
      async () => (await app.storedAnswer(page)).status,
      (it) => it.toBe('done'),
    )
    await page.getByTestId('run-end').waitFor()
    expect(await distanceToEnd(page)).toBeLessThan(2)
  }, 40_000)

  test('who has no token is told so, and a token lets in', async () => {
    const secret = 'a secret for this test, of 32 bytes or more'
    await using app = await PageApp.start(browser(), { secret })
    const page = await app.open()
    await page.getByTestId('welcome').getByRole('link', { name: 'Set a token' }).click()
    await page.getByLabel('Token').fill(await mintToken({ TURNPIKE_TOKEN_SECRET: secret }, { user: 'ada' }))
    await page.keyboard.press('Enter')
    await page.getByTestId('new-thread').click()
    await say(page, 'Hello')
    await page.getByTestId('run-end').waitFor()
    expect(await page.evaluate('JSON.stringify(localStorage)')).not.toContain('eyJ')
    await page.getByRole('link', { name: 'Connections' }).click()
    await eventually(
      () => page.getByTestId('connections').textContent(),
      (it) => it.toContain('ada'),
    )
    expect(app.problems).toEqual([])
  }, 40_000)

  test('what a model writes cannot do anything', async () => {
    await using app = await PageApp.start(browser())
    const page = await app.open()
    const asked: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    const evil = [
      '<img src=x onerror=alert(1)><script>alert(2)</script>',
      '[a](javascript:alert(3)) [b](data:text/html,x) [c](/runs)',
      '![d](https://evil.test/pixel.png) [e](https://example.com)',
      '<iframe src="https://evil.test/frame"></iframe>',
    ]
    await say(page, evil.join('\n\n'))
    await eventually(
      () => answerOf(page).getAttribute('data-status'),
      (it) => it.toBe('done'),
    )
    const links = answerOf(page).locator('a')
    expect(await hrefs(links)).toEqual(['https://evil.test/pixel.png', 'https://example.com'])
    expect(await links.last().getAttribute('rel')).toContain('noopener')
    expect(await answerOf(page).locator('img, script, iframe').count()).toBe(0)
    expect(asked.filter((url) => url.includes('evil'))).toEqual([])
    expect(squashed(await answerOf(page).innerText())).toContain('<img src=x onerror=alert(1)>')
    expect(app.problems).toEqual([])
  }, 40_000)
}

async function violations(page: Page): Promise<unknown[]> {
  // Told to the browser from outside, where the page's policy on scripts does not reach.
  await page.evaluate(await readFile(AXE, 'utf8'))
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: Violation[] }> } }
    interface Violation {
      readonly id: string
      readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[]
    }
    const { violations } = await axe.run()
    return violations.map(({ id, nodes }) => ({
      id,
      nodes: nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`),
    }))
  })
}

function overhang(page: Page): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - innerWidth')
}

function focused(page: Page): Promise<unknown> {
  return page.evaluate('document.activeElement?.dataset.testid')
}

function outlined(page: Page): Promise<boolean> {
  return page.evaluate('getComputedStyle(document.activeElement).outlineStyle === "solid"')
}

async function tabTo(page: Page, testId: string): Promise<void> {
  for (let presses = 0; presses < 40; presses++) {
    if ((await focused(page)) === testId) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`Tab does not lead to ${testId}.`)
}

function scrollTop(page: Page): Promise<number> {
  return page.evaluate('document.querySelector(".scroller").scrollTop')
}

async function distanceToEnd(page: Page): Promise<number> {
  const [height, view] = await page.evaluate<[number, number]>(
    '[document.querySelector(".scroller").scrollHeight, document.querySelector(".scroller").clientHeight]',
  )
  return height - view - (await scrollTop(page))
}

async function hrefs(links: Locator): Promise<(string | null)[]> {
  return Promise.all((await links.all()).map((link) => link.getAttribute('href')))
}
