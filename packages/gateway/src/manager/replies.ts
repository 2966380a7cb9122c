import { setTimeout as delay } from 'node:timers/promises'
import type { ManagedSocket } from './websocket-handler.ts'

const OPEN = 1
/** What may wait in a socket before the next reply of a generator is asked for, and how often that is looked at. */
const HIGH_WATER_BYTES = 262_144
const LOOK_MS = 20

/**
 * Sends what a route gives: a value, a promise of one, or each yield of an async generator. A generator is asked for
 * more while the peer takes what it gave, and is ended when the peer has gone.
 *
 * @returns The last reply.
 */
export async function sendReplies(
  socket: ManagedSocket,
  given: unknown,
  messageOf: (reply: unknown) => object,
): Promise<unknown> {
  const send = (reply: unknown): void => {
    if (reply !== undefined && isOpen(socket)) socket.send(JSON.stringify(messageOf(reply)))
  }
  if (!isAsyncIterable(given)) {
    const reply = await given
    send(reply)
    return reply
  }
  let last: unknown
  for await (const reply of given) {
    send(reply)
    last = reply
    while (isOpen(socket) && (socket.bufferedAmount ?? 0) > HIGH_WATER_BYTES) await delay(LOOK_MS)
    if (!isOpen(socket)) break
  }
  return last
}

function isOpen({ readyState }: ManagedSocket): boolean {
  return readyState === undefined || readyState === OPEN
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}
