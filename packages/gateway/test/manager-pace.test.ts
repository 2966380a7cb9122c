import { once } from 'node:events'
import { Inbox } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import { type WebSocketHandler, WebSocketConnectionManager } from '../src/manager/index.ts'
import { frame, framesIn, openClient, rawSocket, serveManager } from './manager-server.ts'

const PONG = '{"type":"pong","timestamp":1}'

/** Frames that come in one go. */
const inOneGo = (count: number, payload = ''): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, index) => frame({ payload: payload || `${index}` })))

const textOf = (data: string | ArrayBuffer): string => (typeof data === 'string' ? data : 'bytes')

function counting(): { handler: WebSocketHandler; seen: string[] } {
  const seen: string[] = []
  return { seen, handler: { onMessage: (_connection, { data }) => seen.push(textOf(data)) } }
}

test('a peer that is too fast is read later: nothing is lost, and it is still slower', async () => {
  await using server = await serveManager({ messagesPerSecond: 200 })
  await using fast = await openClient(server.url)
  const begun = performance.now()
  for (let i = 0; i < 500; i++) fast.send(`${i}`)
  await server.told.next()
  for (let i = 0; i < 500; i++) expect(await server.told.next()).toMatchObject({ data: `${i}` })
  fast.send('next')
  expect(await server.told.next()).toMatchObject({ data: 'next' })
  // 400 at once, the rest at 200 a second.
  expect(performance.now() - begun).toBeGreaterThan(400)
})

test('one that sends a hundred times as much as it may loses nothing either, in one go or in many', async () => {
  const { handler, seen } = counting()
  await using server = await serveManager({ messagesPerSecond: 50, handler })
  const { socket } = await rawSocket(server.port)
  socket.write(inOneGo(5_000))
  await vi.waitFor(() => expect(seen.length).toBeGreaterThanOrEqual(100))
  expect(seen.length).toBeLessThan(200)
  await vi.waitFor(() => expect(seen.length).toBeGreaterThan(110))
  expect(seen.length).toBeLessThan(1_000)
  expect(seen).toEqual(Array.from(seen, (_, index) => `${index}`))
  expect(server.manager.getConnectionCount()).toBe(1)
  socket.destroy()
})

test('what had to wait for its time comes before onClose', async () => {
  await using server = await serveManager({ messagesPerSecond: 1 })
  const { socket } = await rawSocket(server.port)
  socket.write(Buffer.concat([inOneGo(20), frame({ opcode: 8 })]))
  const calls = await server.told.until(({ what }) => what === 'close')
  expect(calls.map(({ what, data }) => (what === 'message' ? data : what))).toEqual([
    'open',
    ...Array.from({ length: 20 }, (_, index) => `${index}`),
    'close',
  ])
})

test('one that is too fast while its work goes on is served in order when that is done', async () => {
  const begun = new Inbox<string>()
  const gates: (() => void)[] = []
  await using server = await serveManager({
    maxPending: 2,
    messagesPerSecond: 20,
    handler: {
      onMessage(_connection, { data }) {
        begun.push(textOf(data))
        return new Promise<void>((resolve) => gates.push(resolve))
      },
    },
  })
  const { socket } = await rawSocket(server.port)
  socket.write(inOneGo(60))
  for (let next = 0; next < 60; next++) {
    expect(await begun.next()).toBe(`${next}`)
    expect(begun.size).toBeLessThan(2)
    gates.shift()?.()
  }
  socket.destroy()
})

interface Foreign {
  readonly sent: { readonly code?: string }[]
  readonly closed: unknown[]
  readonly send: (data: unknown) => void
  readonly close: (...args: unknown[]) => void
}

function foreignSocket(): Foreign {
  const sent: { readonly code?: string }[] = []
  const closed: unknown[] = []
  return {
    sent,
    closed,
    send: (data) => void sent.push(JSON.parse(String(data)) as { code?: string }),
    close: (...args) => void closed.push(args),
  }
}

test.each([
  [0.02, 1],
  [0.5, 1],
  [1, 2],
  [2, 4],
])('at %d a second, %d are handed over at once', (messagesPerSecond, atOnce) => {
  const { handler, seen } = counting()
  const manager = new WebSocketConnectionManager({ messagesPerSecond })
  manager.registerHandler('/ws', handler)
  const { id } = manager.handleConnection(foreignSocket(), '/ws')
  for (let i = 0; i < 50; i++) manager.handleMessage(id, `${i}`, false)
  expect(seen).toEqual(Array.from({ length: atOnce }, (_, index) => `${index}`))
})

test('where it is less than one a second, the next one is in time after that', () => {
  vi.useFakeTimers()
  try {
    const { handler, seen } = counting()
    const manager = new WebSocketConnectionManager({ messagesPerSecond: 0.4, pingInterval: 0 })
    manager.registerHandler('/ws', handler)
    const { id } = manager.handleConnection(foreignSocket(), '/ws')
    for (const text of ['a', 'b', 'c']) manager.handleMessage(id, text, false)
    expect(seen).toEqual(['a'])
    vi.advanceTimersByTime(2_400)
    expect(seen).toEqual(['a'])
    vi.advanceTimersByTime(400)
    expect(seen).toEqual(['a', 'b'])
    vi.advanceTimersByTime(2_500)
    expect(seen).toEqual(['a', 'b', 'c'])
  } finally {
    vi.useRealTimers()
  }
})

test('of a socket that cannot wait so much is kept; more is refused, and who goes on is closed with 4529', () => {
  const { handler, seen } = counting()
  const manager = new WebSocketConnectionManager({
    messagesPerSecond: 1,
    maxPending: 2,
    maxBufferedBytes: 250,
  })
  manager.registerHandler('/ws', handler)
  const socket = foreignSocket()
  const { id } = manager.handleConnection(socket, '/ws')
  // Two at once, two are kept.
  for (const text of ['a', 'b', 'c', 'd']) manager.handleMessage(id, text, false)
  expect([seen, socket.sent]).toEqual([['a', 'b'], []])
  for (const text of ['e', 'f']) manager.handleMessage(id, text, false)
  expect(socket.sent.map(({ code }) => code)).toEqual(['rate-limited', 'rate-limited'])
  expect(socket.closed).toEqual([])
  manager.handleMessage(id, 'g', false)
  expect(socket.closed).toEqual([[4_529, 'rate-limited']])
  expect(seen).toEqual(['a', 'b'])
})

test('what a socket that cannot wait sent too fast is handed over later, in order', async () => {
  const { handler, seen } = counting()
  const manager = new WebSocketConnectionManager({ messagesPerSecond: 100 })
  manager.registerHandler('/ws', handler)
  const { id } = manager.handleConnection(foreignSocket(), '/ws')
  const all = Array.from({ length: 240 }, (_, index) => `${index}`)
  for (const text of all) manager.handleMessage(id, text, false)
  expect(seen.length).toBeLessThan(210)
  await vi.waitFor(() => expect(seen).toEqual(all), { timeout: 5_000 })
})

test('a message that is larger than what may be kept is kept where nothing else is', async () => {
  const { handler, seen } = counting()
  const manager = new WebSocketConnectionManager({ messagesPerSecond: 20, maxBufferedBytes: 100 })
  manager.registerHandler('/ws', handler)
  const socket = foreignSocket()
  const { id } = manager.handleConnection(socket, '/ws')
  for (let i = 0; i < 40; i++) manager.handleMessage(id, 'x', false)
  manager.handleMessage(id, 'long'.repeat(1_000), false)
  await vi.waitFor(() => expect(seen).toHaveLength(41), { timeout: 5_000 })
  expect(socket.sent).toEqual([])
})

test('a flood of pongs in JSON is cut, as one of pings is', async () => {
  await using server = await serveManager({ messagesPerSecond: 10, handler: {} })
  const { socket, ended } = await rawSocket(server.port)
  socket.write(inOneGo(500, PONG))
  // It answers the close, as a client does.
  await once(socket, 'data')
  socket.end()
  expect(framesIn(await ended).at(-1)).toBe('close:4529')
})
