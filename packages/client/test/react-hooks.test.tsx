import { renderToString } from 'react-dom/server'
import { TurnpikeProvider } from '@turnpike/client/react'
import type { Page as Tab } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Page } from './react-page/app.tsx'
import { type Site, isMissing, startSite } from './react-page/start-site.ts'

describe.skipIf(isMissing)('the hooks in Chromium, in strict mode', () => {
  let site: Site

  beforeAll(async () => {
    const html = renderToString(
      <TurnpikeProvider>
        <Page threadId="rendered" />
      </TurnpikeProvider>,
    )
    site = await startSite('development', html)
  }, 60_000)

  afterEach(() => site.closeTabs())

  afterAll(async () => {
    await site[Symbol.asyncDispose]()
  })

  const poll: typeof expect.poll = (look) => expect.poll(look, { timeout: 10_000 })

  const linesOf = (tab: Tab, chat = 'chat'): Promise<string[]> => tab.locator(`#${chat} li`).allInnerTexts()

  const statusOf = (tab: Tab, chat = 'chat'): Promise<string | null> =>
    tab.locator(`#${chat}`).getAttribute('data-status')

  /** Sends from one of the chats, and waits until the server has taken it. */
  const send = (tab: Tab, message: string, { chat = 'chat', agent = 'counter' } = {}): Promise<string> =>
    tab.evaluate(
      async ([name, text, to]) => {
        const sent = await stage.probe.threads[name]?.send(text, { agent: to })
        return sent?.threadId ?? ''
      },
      [chat, message, agent] as const,
    )

  test('a draft costs nothing; its message is shown at once, sent once, and comes once', async () => {
    const tab = await site.open()
    await tab.evaluate(() => stage.page())
    await poll(() => tab.locator('#agents').innerText()).toMatch(/^counter puppet/)
    expect(await site.connections()).toBe(0)
    const atOnce = await tab.evaluate(async () => {
      const sent = stage.probe.threads['chat']?.send('count to 3', { agent: 'puppet' })
      await Promise.resolve()
      const shown = stage.probe.threads['chat']?.messages.map(({ status, role }) => `${role} ${status}`)
      await sent
      return shown
    })
    expect(atOnce).toEqual(['user open'])
    const run = await site.puppet.nextRun()
    await run.say('yes')
    await poll(() => linesOf(tab)).toEqual(['count to 3', 'yes'])
    run.end()
    await poll(() => statusOf(tab)).toBe('idle')
    expect(await tab.locator('#chat li[data-status=open]').count()).toBe(0)
    await tab.locator('#reload').click()
    await poll(() => tab.locator('#threads').innerText()).toBe('count to 3')
    expect(await linesOf(tab)).toEqual(['count to 3', 'yes'])
  })

  test('many hooks on a thread are one connection and one subscription, and see the same', async () => {
    const tab = await site.open()
    await tab.evaluate(() => stage.chats(['same', 'same', 'same', 'other']))
    await poll(() => statusOf(tab, 'c2')).toBe('idle')
    await send(tab, 'count to 30', { chat: 'c0' })
    await send(tab, 'count to 2', { chat: 'c3' })
    const last = Array.from({ length: 30 }, (_, index) => index + 1).join(' ')
    for (const chat of ['c0', 'c1', 'c2']) {
      await poll(() => linesOf(tab, chat)).toEqual(['count to 30', last])
    }
    expect(await site.connections()).toBe(1)
    expect([...(await site.followed())].sort()).toEqual(['other', 'same'])
    expect(
      await tab.evaluate(() => stage.probe.threads['c0']?.messages === stage.probe.threads['c2']?.messages),
    ).toBe(true)
  })

  test('switching to another thread never shows a message of the one before', async () => {
    const tab = await site.open()
    const threads = ['red', 'green', 'blue']
    for (const thread of threads) {
      await tab.evaluate((id) => stage.chats([id]), thread)
      await poll(() => statusOf(tab, 'c0')).toBe('idle')
      await send(tab, `${thread}: count to 5`, { chat: 'c0' })
      await poll(() => linesOf(tab, 'c0')).toHaveLength(2)
    }
    for (const thread of [...threads, ...threads]) {
      await tab.evaluate((id) => stage.chats([id]), thread)
      await poll(async () => (await linesOf(tab, 'c0'))[0]).toBe(`${thread}: count to 5`)
    }
    const wrong = await tab.evaluate(() =>
      stage.probe.shown.filter(({ threadId, texts }) => texts[0] && !texts[0].startsWith(`${threadId}:`)),
    )
    expect(wrong).toEqual([])
  })

  test('two tabs of a thread agree, whoever writes, stops or approves', async () => {
    const [one, two] = [await site.open(), await site.open()]
    await one.evaluate(() => stage.page())
    const threadId = await send(one, 'go', { agent: 'puppet' })
    const run = await site.puppet.nextRun()
    await two.evaluate((id) => stage.page(id), threadId)
    await run.say('so far')
    for (const tab of [one, two]) await poll(() => linesOf(tab)).toEqual(['go', 'so far'])
    await run.say({ type: 'tool-call-start', toolCallId: 'c', tool: 'pay' })
    const decision = run.context.approvals.request({ toolCallId: 'c', tool: 'pay', args: null })
    for (const tab of [one, two]) {
      await poll(() => tab.locator('.approve').allInnerTexts()).toEqual([`pay in ${threadId}`])
    }
    expect(await one.locator('.approve').getAttribute('data-args')).toBe('null')
    await two.locator('.approve').click()
    expect(await decision).toMatchObject({ approved: true })
    for (const tab of [one, two]) await poll(() => tab.locator('.approve').count()).toBe(0)
    await two.evaluate(() => stage.probe.threads['chat']?.cancel())
    for (const tab of [one, two]) {
      await poll(() => statusOf(tab)).toBe('idle')
      expect(await tab.locator('li[data-role=assistant]').getAttribute('data-status')).toBe('cancelled')
    }
  })

  test('a message that is done is not rendered again while the next one streams', async () => {
    const tab = await site.open()
    await tab.evaluate(() => stage.page('long'))
    await send(tab, 'count to 3')
    await poll(() => statusOf(tab)).toBe('idle')
    const rendersOfFirst = (): Promise<number | undefined> =>
      tab.evaluate(() => stage.probe.messages[stage.probe.threads['chat']?.messages[1]?.id ?? ''])
    const before = await rendersOfFirst()
    await send(tab, '40 words', { agent: 'paced' })
    await poll(async () => (await linesOf(tab)).at(-1)).toContain('word40')
    expect(await rendersOfFirst()).toBe(before)
  })

  test('after unmounting in the middle of a run nothing is left, and mounted again it is all there', async () => {
    const tab = await site.open()
    const before = await tab.evaluate(() => left())
    expect(before).toEqual({ timers: 0, listeners: [] })
    await tab.evaluate(() => stage.page('left'))
    await send(tab, '50 words', { agent: 'paced' })
    await poll(async () => (await linesOf(tab)).at(-1)).toContain('word2')
    expect((await tab.evaluate(() => left())).listeners.sort()).toEqual([
      'offline',
      'online',
      'visibilitychange',
    ])
    await tab.evaluate(() => stage.nothing())
    await poll(() => site.connections()).toBe(0)
    expect(await tab.evaluate(() => left())).toEqual(before)
    await tab.evaluate(() => stage.page('left'))
    await poll(async () => (await linesOf(tab)).at(-1)).toContain('word50')
    expect(await linesOf(tab)).toHaveLength(2)
  })

  test('a page that is hidden has no connection, and shown again it has one', async () => {
    const tab = await site.open()
    await tab.evaluate(() => stage.room('visible'))
    await send(tab, 'count to 2')
    await tab.evaluate(() => stage.room('hidden'))
    await poll(() => site.connections()).toBe(0)
    await tab.evaluate(() => stage.room('visible'))
    await poll(() => linesOf(tab)).toEqual(['count to 2', '1 2'])
    await send(tab, 'count to 3')
    await poll(() => linesOf(tab)).toEqual(['count to 2', '1 2', 'count to 3', '1 2 3'])
  })

  test('another token is another client, and the one before is closed', async () => {
    const tab = await site.open()
    await tab.evaluate(() => stage.as('one'))
    await poll(() => statusOf(tab)).toBe('idle')
    await send(tab, 'count to 2')
    await tab.evaluate(() => stage.as('two'))
    await poll(() => linesOf(tab)).toEqual(['count to 2', '1 2'])
    await poll(() => site.connections()).toBe(1)
  })

  test('a page that a server rendered is taken over without a difference', async () => {
    const tab = await site.open('/rendered')
    await poll(() => statusOf(tab)).toBe('idle')
    await send(tab, 'count to 2')
    await poll(() => linesOf(tab)).toEqual(['count to 2', '1 2'])
    expect(await tab.evaluate(() => stage.errors)).toEqual([])
  })

  test('nothing went wrong in the console', () => {
    expect(site.problems).toEqual([])
  })
})
