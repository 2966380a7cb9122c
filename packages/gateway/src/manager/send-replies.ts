import type { Replies } from './replies.ts'

/**
 * Sends what a route gives: a value, a promise of one, or each yield of an async generator. A generator is asked for
 * more while there is room for it, and is ended when the peer has gone.
 *
 * @returns The last reply.
 */
export async function sendReplies(
  replies: Replies,
  given: unknown,
  messageOf: (reply: unknown) => object,
): Promise<unknown> {
  const send = async (reply: unknown): Promise<void> => {
    if (reply !== undefined) await replies.send(messageOf(reply))
  }
  if (isAsyncIterable(given)) return sendEach(replies, given[Symbol.asyncIterator](), send)
  const reply = await given
  await send(reply)
  return reply
}

async function sendEach(
  replies: Replies,
  iterator: AsyncIterator<unknown>,
  send: (reply: unknown) => Promise<void>,
): Promise<unknown> {
  let last: unknown
  let isDone = false
  const sendAll = async (): Promise<void> => {
    for (;;) {
      await replies.untilRoom()
      if (replies.isOver) return
      const { done, value } = await iterator.next()
      isDone = done === true
      if (isDone || replies.isOver) return
      last = value
      await send(value)
    }
  }
  const over = Promise.withResolvers<void>()
  const forget = replies.onceOver(over.resolve)
  let isWaiting = true
  try {
    // Not in each turn: what waits for a promise stays with it for as long as that lives.
    await Promise.race([sendAll().finally(() => (isWaiting = false)), over.promise])
    return last
  } finally {
    forget()
    const ended = isDone ? undefined : end(iterator)
    // One that waits for something else may never get to its end.
    if (!isWaiting) await ended
  }
}

/** Whatever it does at its end: the peer is gone, or has another error to be told of. */
async function end(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.()
  } catch {
    return
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}
