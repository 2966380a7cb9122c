import { EVENT_TYPES } from '@turnpike/protocol'
import type { Browser } from 'playwright-core'
import { expect, test } from 'vitest'
import { PageApp, answerOf, eventually, say } from './page-app.ts'

/** That everything an agent does can be seen. */
export function showcaseTests(browser: () => Browser): void {
  test('each of the 17 events can be seen, in the conversation and in the inspector', async () => {
    await using app = await PageApp.start(browser())
    const page = await app.open()
    await page.getByTestId('agent').selectOption('showcase')
    await say(page, 'Plan a day in Kyoto.')
    await page.getByTestId('approve').click()
    const answer = answerOf(page)
    await eventually(
      () => answer.getAttribute('data-status'),
      (it) => it.toBe('done'),
    )
    expect(await answer.getByTestId('decision').textContent()).toContain('Approved by anonymous')
    expect(await answer.getByTestId('memory-recall').textContent()).toContain('Recalled nothing')
    expect(await answer.getByTestId('memory-write').textContent()).toContain('Wanted to plan a day in Kyoto.')
    expect(await answer.getByTestId('reasoning').count()).toBeGreaterThan(0)
    expect(await answer.getByTestId('run-end').textContent()).toMatch(/showcase · 8 steps · \d+ tokens/)
    const failed = answer.locator('[data-tool=check_traffic]')
    expect(await failed.textContent()).toContain('tool-failed')
    const weather = answer.locator('[data-tool=get_weather]')
    await weather.getByRole('button').first().click()
    expect(await weather.textContent()).toMatch(/Arguments.*"city": "Kyoto".*Result.*"celsius"/s)

    await answer.getByTestId('artifact').click()
    await eventually(
      () => page.getByTestId('artifact-content').textContent(),
      (it) => it.toContain('a bench by the old'),
    )
    expect(await page.getByText('version 2', { exact: true }).count()).toBe(1)
    await page.getByRole('button', { name: /^Close:/ }).click()

    await say(page, 'Fail, please.')
    await eventually(
      () => page.getByTestId('run-error').textContent(),
      (it) => it.toContain('model-failed'),
    )
    await eventually(
      () => page.getByTestId('background').getAttribute('data-status'),
      (it) => it.toBe('done'),
    )

    await page.getByTestId('toggle-events').click()
    for (const type of EVENT_TYPES) {
      await page.getByTestId('event-filter').selectOption(type)
      await eventually(
        () => page.locator(`.event-row[data-type=${type}]`).count(),
        (it) => it.toBeGreaterThan(0),
      )
    }
    await page.locator('.event-row').last().click()
    expect(await page.getByTestId('event-detail').textContent()).toContain('"finishReason"')
    await page.reload()
    await page.getByTestId('artifact').click()
    await expect.poll(() => page.getByTestId('artifact-content').textContent()).toContain('Morning: a walk')
    expect(app.problems).toEqual([])
  }, 40_000)

  test('what one tab asks approval for, another one declines, with a reason that both show', async () => {
    await using app = await PageApp.start(browser())
    const first = await app.open()
    await first.getByTestId('agent').selectOption('showcase')
    await say(first, 'Plan a day in Kyoto.')
    await first.getByTestId('decline').waitFor()
    expect(await first.title()).toContain('Approval needed')
    const second = await app.open(first.url())
    await second.getByLabel('Reason').fill('no postcards today')
    await second.getByTestId('decline').click()
    for (const page of [first, second]) {
      await eventually(
        () => page.getByTestId('decision').textContent(),
        (it) => it.toContain('no postcards today'),
      )
      await eventually(
        () => answerOf(page).getAttribute('data-status'),
        (it) => it.toBe('done'),
      )
    }
    expect(app.problems).toEqual([])
  }, 40_000)

  test('a message to a busy thread waits, says so, and can be taken back', async () => {
    await using app = await PageApp.start(browser(), { tokensPerSecond: 30 })
    const page = await app.open()
    await say(page, 'Tell me a long story')
    await eventually(
      () => answerOf(page).textContent(),
      (it) => it.toContain('tollhouse'),
    )
    await say(page, 'And then?')
    await eventually(
      () => page.getByTestId('waiting').textContent(),
      (it) => it.toContain('Queued'),
    )
    await page.getByRole('button', { name: 'Take it back' }).click()
    await page.getByTestId('waiting').waitFor({ state: 'hidden' })
    await page.getByTestId('stop').click()
    await page.getByTestId('stop').waitFor({ state: 'hidden' })
    expect(app.problems).toEqual([])
  }, 40_000)

  test('one run is told over every wire, and its figures are drawn', async () => {
    await using app = await PageApp.start(browser())
    const page = await app.open('/#/wires')
    await page.getByTestId('start-wires').click()
    const wires = page.getByTestId('wire')
    await eventually(
      () => wires.first().textContent(),
      (it) => it.toContain('"type":"finish"'),
    )
    await eventually(
      () => wires.nth(1).textContent(),
      (it) => it.toContain('event: finish'),
    )
    await eventually(
      () => wires.last().textContent(),
      (it) => it.toContain('42["finish",'),
    )
    await eventually(
      () => page.getByTestId('chart').first().textContent(),
      (it) => it.toContain('1 sample'),
    )
    expect(await page.locator('canvas').count()).toBe(3)
    expect(app.problems).toEqual([])
  }, 40_000)

  test('threads are listed, the latest first, and found by their words', async () => {
    await using app = await PageApp.start(browser())
    const page = await app.open()
    for (const text of ['The first matter', 'The second matter']) {
      await page.getByTestId('new-thread').click()
      await page.getByTestId('welcome').waitFor()
      await say(page, text)
      await eventually(
        () => page.getByTestId('threads').locator('a').first().textContent(),
        (it) => it.toContain(text),
      )
    }
    const links = page.getByTestId('threads').locator('a')
    expect(await links.count()).toBe(2)
    await page.getByTestId('search').fill('first')
    await eventually(
      () => links.count(),
      (it) => it.toBe(1),
    )
    await links.click()
    await eventually(
      () => page.getByTestId('message-user').textContent(),
      (it) => it.toContain('The first matter'),
    )
    expect(await links.getAttribute('aria-current')).toBe('page')
    expect(app.problems).toEqual([])
  }, 40_000)

  test('older messages are loaded when they are asked for, and the reader stays in place', async () => {
    await using app = await PageApp.start(browser())
    const body = JSON.stringify({ message: 'Hello', threadId: 'long' })
    for (let count = 0; count < 110; count++) {
      await (await fetch(`${app.url}/agents/demo/chat/stream`, { method: 'POST', body })).text()
    }
    const page = await app.open('/#/t/long')
    const questions = page.getByTestId('message-user')
    await eventually(
      () => questions.count(),
      (it) => it.toBe(100),
    )
    const first = await questions.first().elementHandle()
    await page.locator('.scroller').press('Home')
    await first?.waitForElementState('stable')
    const before = await first?.boundingBox()
    await page.getByTestId('older').click()
    await eventually(
      () => questions.count(),
      (it) => it.toBe(110),
    )
    const after = await first?.boundingBox()
    expect(Math.abs((after?.y ?? 0) - (before?.y ?? 0))).toBeLessThan(80)
    expect(app.problems).toEqual([])
  }, 40_000)
}
