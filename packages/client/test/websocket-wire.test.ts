import type { LinkEnd } from '@turnpike/client/wire'
import { expect, test } from 'vitest'
import { type WebSocketLike, websocketWire } from '../src/wires/websocket.ts'
import { ManualClock } from './manual-clock.ts'

/** A socket whose other end is the test. */
class Socket implements WebSocketLike {
  readonly sent: { id: number; command: string }[] = []
  readonly #listeners: { type: string; listener: (event: never) => void }[] = []
  bufferedAmount = 0

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.push({ type, listener })
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data) as { id: number; command: string })
  }

  close(): void {}

  tell(type: string, event: object = {}): void {
    for (const each of this.#listeners) if (each.type === type) each.listener(event as never)
  }

  say(frame: object): void {
    this.tell('message', { data: JSON.stringify(frame) })
  }
}

function setUp(ticket?: string) {
  const clock = new ManualClock()
  const socket = new Socket()
  const ends: LinkEnd[] = []
  const seen = { opened: 0 }
  const wire = websocketWire(
    class {
      constructor() {
        return socket
      }
    } as unknown as new () => WebSocketLike,
  )
  const link = wire.open(
    { url: 'http://server', token: undefined, ticket, clock },
    { onOpen: () => seen.opened++, onFrame() {}, onEnd: (end) => ends.push(end) },
  )
  socket.tell('open')
  return { clock, socket, ends, seen, link }
}

test('who comes with a ticket sends one command, and is in once that is answered', () => {
  const { socket, seen } = setUp('once')
  expect(socket.sent.map(({ command }) => command)).toEqual(['thread.unsubscribe'])
  expect(seen.opened).toBe(0)
  socket.say({ id: 1, ok: true })
  expect(seen.opened).toBe(1)
})

test('a ticket that is refused opens nothing', () => {
  const { socket, seen, ends } = setUp('once')
  socket.tell('close', { code: 4401 })
  expect(seen.opened).toBe(0)
  expect(ends).toEqual([{ reached: true, closeCode: 4401 }])
})

test('a link over which something comes is not given up for an answer that is slow', () => {
  const { socket, link, ends, clock } = setUp()
  link.request('run.cancel', { runId: 'r' }, () => {})
  for (let second = 0; second < 60; second++) {
    clock.advance(1_000)
    socket.say({ type: 'something-else' })
  }
  expect(ends).toEqual([])
  clock.advance(40_000)
  expect(ends).toEqual([{ reached: true }])
})

test('a link over which something goes is not given up for an answer that is slow', () => {
  const { socket, link, ends, clock } = setUp()
  socket.bufferedAmount = 3_000
  link.request('run.cancel', { runId: 'r' }, () => {})
  socket.bufferedAmount = 2_000
  clock.advance(20_000)
  expect(ends).toEqual([])
  clock.advance(20_000)
  expect(ends).toEqual([{ reached: true }])
})

test('a deadline that was put off is called off by the answer', () => {
  const { socket, link, ends, clock } = setUp()
  link.request('run.cancel', { runId: 'r' }, () => {})
  clock.advance(10_000)
  socket.say({ type: 'something-else' })
  clock.advance(15_000)
  socket.say({ id: 1, ok: true })
  clock.advance(120_000)
  expect(ends).toEqual([])
})
