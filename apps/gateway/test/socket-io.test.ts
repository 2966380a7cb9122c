import type { ThreadEvent } from '@turnpike/protocol'
import { type Socket, io } from 'socket.io-client'
import { expect, test } from 'vitest'
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
