import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { ThreadEvent } from '@turnpike/protocol'
import { type Browser, chromium } from 'playwright-core'
import { type Socket, io } from 'socket.io-client'
import { describe, expect, test } from 'vitest'
import { serveTurnpike } from './start-turnpike.ts'

const FAST = { DEMO_TOKENS_PER_SECOND: '0' }

/** The next event of that name. */
function next<Body>(socket: Socket, name: string): Promise<Body> {
  return new Promise((resolve) => socket.once(name, resolve))
}

async function open(url: string, path?: string): Promise<Socket & AsyncDisposable> {
  const socket = io(url, { forceNew: true, ...(path !== undefined && { path }) })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('connect_error', reject)
  })
  return Object.assign(socket, { [Symbol.asyncDispose]: async () => void socket.close() })
}

test('one port serves the agent gateway, the thread stream and tool sync to a stock client of Socket.IO', async () => {
  await using turnpike = await serveTurnpike(FAST)
  await using agents = await open(`${turnpike.url}/turnpike`)
  const done = next<{ output: { text: string } }>(agents, 'agent.done')
  const { ok } = (await agents.emitWithAck('agent.run', { name: 'demo', input: 'Hello' })) as {
    ok: boolean
  }
  expect(ok).toBe(true)
  const { output } = await done
  expect(output.text.length).toBeGreaterThan(0)

  await using threads = await open(turnpike.url, '/streaming')
  const texts: string[] = []
  threads.on('text-delta', ({ delta }: ThreadEvent & { delta: string }) => texts.push(delta))
  const finished = next<{ text: string }>(threads, 'finish')
  await threads.emitWithAck('thread.send', { threadId: 't', agent: 'demo', message: 'Hello' })
  const { text } = await finished
  expect(texts.join('')).toBe(text)

  await using shop = await open(`${turnpike.url}/connections`, '/streaming')
  const tool = { name: 'status', description: 'Tells.', parameters: { type: 'object' } }
  expect(await shop.emitWithAck('tool.register', { tools: [tool] })).toMatchObject({ ok: true })
})

test('a stop says goodbye to the clients of Socket.IO and ends', async () => {
  await using turnpike = await serveTurnpike(FAST)
  await using threads = await open(turnpike.url, '/streaming')
  const goodbye = next(threads, 'goodbye')
  const stopped = turnpike.stop('SIGTERM')
  expect(await goodbye).toMatchObject({ code: 'draining' })
  await stopped
})

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const isMissing = !existsSync(CHROMIUM)
if (isMissing) process.emitWarning('Skipped: Socket.IO in a browser. To run it: apt-get install chromium')

/** The file that pages load; beside the code that Node does. */
const CLIENT = createRequire(import.meta.url)
  .resolve('socket.io-client')
  .replace(/build[\\/].*$/, 'dist/socket.io.min.js')

/** What a page does with the stock client, in words: `chunk`, `done`. */
function talkIn(transport: string): Promise<string[]> {
  const { io: connect } = globalThis as unknown as { io: typeof io }
  const socket = connect('/turnpike', { transports: [transport] })
  const heard: string[] = []
  return new Promise((resolve, reject) => {
    socket.on('connect_error', reject)
    socket.on('agent.error', reject)
    socket.on('agent.chunk', () => heard.push('chunk'))
    socket.on('agent.tool.call', ({ toolName }: { toolName: string }) => heard.push(`calls ${toolName}`))
    socket.on('agent.tool.done', () => heard.push('called'))
    socket.on('agent.approval.pending', ({ approvalId }: { approvalId: string }) =>
      socket.emit('approval.resolve', { approvalId, approved: true }),
    )
    socket.on('agent.done', () => resolve([...heard, 'done']))
    socket.emit('agent.run', { name: 'showcase', input: 'What is the weather in Oslo?' })
  })
}

describe.skipIf(isMissing).each(['websocket', 'polling'])(
  'a page with the stock client, by %s',
  (transport) => {
    async function inPage<Result>(
      url: string,
      work: (page: Awaited<ReturnType<Browser['newPage']>>) => Promise<Result>,
    ): Promise<Result> {
      const browser = await chromium.launch({ executablePath: CHROMIUM })
      try {
        const page = await browser.newPage()
        await page.goto(url)
        await page.addScriptTag({ path: CLIENT })
        return await work(page)
      } finally {
        await browser.close()
      }
    }

    test('talks to an agent that uses tools', async () => {
      await using turnpike = await serveTurnpike(FAST)
      const heard = await inPage(`${turnpike.url}/agents`, (page) => page.evaluate(talkIn, transport))
      expect(heard).toEqual(expect.arrayContaining(['chunk', 'called', 'done']))
      expect(heard.find((each) => each.startsWith('calls '))).toBeDefined()
    })

    test('is refused where its origin is not allowed', async () => {
      await using turnpike = await serveTurnpike(FAST)
      await using other = await serveTurnpike(FAST)
      const code = await inPage(`${other.url}/agents`, (page) =>
        page.evaluate(
          ([url, by]) => {
            const { io: connect } = globalThis as unknown as { io: typeof io }
            const socket = connect(`${url}/turnpike`, { transports: [by] })
            return new Promise<string>((resolve) => {
              socket.on('connect', () => resolve('connected'))
              socket.on('connect_error', (error) => {
                resolve(String((error as { data?: { code?: string } }).data?.code ?? 'nothing'))
              })
            })
          },
          [turnpike.url, transport] as const,
        ),
      )
      // What refuses a poll the page may not even read.
      expect(code).toBe(transport === 'websocket' ? 'origin-not-allowed' : 'nothing')
    })
  },
)
