import { startChaosProxy } from '@turnpike/testkit'
import type { Browser, Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { PageApp, answerOf, eventually, say, squashed } from './page-app.ts'

/** That a page which was away comes back with everything. */
export function resumeTests(browser: () => Browser): void {
  test.each(['websocket', 'sse'] as const)(
    'over %s, a cut in the middle of an answer loses nothing: the text is exact after coming back',
    async (wire) => {
      await using app = await PageApp.start(browser(), { tokensPerSecond: 60 })
      const page = await app.open('/#/settings')
      await page.locator(`input[name=wire][value=${wire}]`).check()
      await page.getByTestId('new-thread').click()
      await say(page, 'Tell me a long story')
      await eventually(
        () => answerOf(page).textContent(),
        (it) => it.toContain('tollhouse'),
      )
      await page.getByTestId('cut').click()
      await eventually(
        () => page.getByTestId('status').getAttribute('data-state'),
        (it) => it.toBe('cut'),
      )
      const whileCut = await answerOf(page).innerText()
      await eventually(
        async () => (await app.storedAnswer(page)).status,
        (it) => it.toBe('done'),
      )
      expect(await answerOf(page).innerText()).toBe(whileCut)
      await page.getByTestId('cut').click()
      await eventually(
        () => page.getByTestId('resume-note').textContent(),
        (it) => it.toMatch(/Resumed: \d+ events in/),
      )
      await expectWhole(app, page)
    },
    40_000,
  )

  test('ten seconds without a network in the middle of an answer lose nothing', async () => {
    await using app = await PageApp.start(browser(), { tokensPerSecond: 40 })
    await using network = await startChaosProxy({ target: { port: Number(new URL(app.url).port) }, seed: 1 })
    const page = await app.open(`http://127.0.0.1:${network.port}/`)
    await say(page, 'Tell me a long story')
    await eventually(
      () => answerOf(page).textContent(),
      (it) => it.toContain('tollhouse'),
    )
    const offlineAt = Date.now()
    await page.context().setOffline(true)
    network.cutAll()
    await eventually(
      () => page.getByTestId('status').textContent(),
      (it) => it.toContain('Offline'),
    )
    await eventually(
      () => Date.now() - offlineAt,
      (it) => it.toBeGreaterThan(10_000),
    )
    await page.context().setOffline(false)
    await page.getByTestId('resume-note').waitFor()
    await expectWhole(app, page)
  }, 60_000)

  test('a page whose clock stood still catches up, though its connection was lost meanwhile', async () => {
    await using app = await PageApp.start(browser(), { tokensPerSecond: 80 })
    await using network = await startChaosProxy({ target: { port: Number(new URL(app.url).port) }, seed: 1 })
    const page = await app.open(`http://127.0.0.1:${network.port}/`)
    await say(page, 'Tell me a long story')
    await eventually(
      () => answerOf(page).textContent(),
      (it) => it.toContain('tollhouse'),
    )
    // A page that is in view cannot be frozen otherwise: this stops its scripts and timers wherever they are.
    const devtools = await page.context().newCDPSession(page)
    await devtools.send('Debugger.enable')
    const isPaused = new Promise((resolve) => devtools.once('Debugger.paused', resolve))
    await devtools.send('Debugger.pause')
    await isPaused
    network.cutAll()
    await eventually(
      async () => (await app.storedAnswer(page)).status,
      (it) => it.toBe('done'),
    )
    await devtools.send('Debugger.resume')
    await page.getByTestId('resume-note').waitFor()
    await expectWhole(app, page)
  }, 40_000)

  test('two tabs show the same, a stop in one stops both, and a reload changes nothing', async () => {
    await using app = await PageApp.start(browser(), { tokensPerSecond: 40 })
    const first = await app.open()
    await say(first, 'Tell me a long story')
    await eventually(
      () => answerOf(first).textContent(),
      (it) => it.toContain('tollhouse'),
    )
    const second = await app.open(first.url())
    await eventually(
      () => answerOf(second).textContent(),
      (it) => it.toContain('tollhouse'),
    )
    await second.getByTestId('stop').click()
    for (const page of [first, second]) await page.getByTestId('stop').waitFor({ state: 'hidden' })
    expect((await app.storedAnswer(first)).status).toBe('cancelled')
    await first.reload()
    for (const page of [first, second]) await expectWhole(app, page)
  }, 40_000)

  test('a connection that is closed on the connections page comes back', async () => {
    await using app = await PageApp.start(browser(), { tokensPerSecond: 60 })
    const page = await app.open()
    await say(page, 'Tell me a long story')
    await eventually(
      () => answerOf(page).textContent(),
      (it) => it.toContain('tollhouse'),
    )
    const operator = await app.open('/#/connections')
    await operator.getByTestId('close-connection').first().click()
    await page.getByTestId('resume-note').waitFor()
    await eventually(
      async () => (await app.storedAnswer(page)).status,
      (it) => it.toBe('done'),
    )
    await expectWhole(app, page)
  }, 40_000)
}

/** The page has the answer that the server has, word for word. */
async function expectWhole(app: PageApp, page: Page): Promise<void> {
  await eventually(
    async () => (await app.storedAnswer(page)).status,
    (it) => it.not.toBe('open'),
  )
  const { text } = await app.storedAnswer(page)
  await eventually(
    async () => squashed(await answerOf(page).locator('.markdown').innerText()),
    (it) => it.toBe(squashed(text)),
  )
  expect(app.problems).toEqual([])
}
