import { setTimeout as delay } from 'node:timers/promises'
import { type AgentYield, type Runnable, defineAgent } from '@turnpike/agents'
import { type Message, textOf } from '@turnpike/protocol'
import { createRandom } from '@turnpike/testkit'

/** What a run shall say. It travels as the user's message, so that whoever has a history can tell whether it is right. */
export interface Order {
  readonly seed: number
  readonly pieces: number
  /** Of each piece, in UTF-8. */
  readonly bytes: number
  /** Pieces after which it waits. */
  readonly burst: number
  readonly pauseMs: number
  /** Reports a tool call, with nested JSON, each so many pieces. */
  readonly reportEvery?: number
}

/** Does what it is ordered to. */
export const orderedAgent: Runnable = defineAgent({
  name: 'ordered',
  register: false,
  async *run({ text }) {
    const order = JSON.parse(text) as Order
    const { pieces, burst, pauseMs, reportEvery = Infinity } = order
    for (let n = 1; n <= pieces; n++) {
      yield pieceOf(order, n)
      if (n % reportEvery === 0) yield* reportsOf(order, n)
      if (n % burst === 0) await delay(pauseMs)
    }
  },
})

/** Piece `n` of an answer: it tells its place, and has characters of one to four bytes. */
export function pieceOf({ seed, bytes }: Order, n: number): string {
  const head = `${seed}:${n} `
  const letter = String.fromCharCode(97 + ((seed + n) % 26))
  const filler = n % 3 === 0 ? '€🚂' : ''
  const room = bytes - Buffer.byteLength(head) - Buffer.byteLength(filler)
  return head + filler + letter.repeat(Math.max(0, room))
}

const answers = new Map<string, string>()

/** The whole answer to a message; undefined where that is no order. */
export function answerTo(message: string): string | undefined {
  const known = answers.get(message)
  if (known !== undefined || !message.startsWith('{')) return known
  const order = JSON.parse(message) as Order
  const answer = Array.from({ length: order.pieces }, (_, index) => pieceOf(order, index + 1)).join('')
  if (answers.size >= 100) answers.clear()
  answers.set(message, answer)
  return answer
}

/** What is wrong with a history: each answer has to be what was ordered, or its beginning where it did not end well. */
export function faultsOf(messages: readonly Message[]): string[] {
  const asked = new Map(
    messages.flatMap((each) => (each.role === 'user' ? [[each.runId, each] as const] : [])),
  )
  return messages.flatMap((message) => {
    if (message.role !== 'assistant') return []
    const question = asked.get(message.runId)
    const expected = question && answerTo(textOf(question))
    if (expected === undefined) return [`${message.runId}: an answer without its order`]
    const text = textOf(message)
    const isRight = message.status === 'done' ? text === expected : expected.startsWith(text)
    return isRight
      ? []
      : [`${message.runId} (${message.status}): ${text.length} of ${expected.length} characters`]
  })
}

function reportsOf({ seed }: Order, n: number): AgentYield[] {
  const random = createRandom(seed ^ n)
  const args = {
    query: `"${random.int(0, 1e9).toString(36)}"\n\u2028\\`,
    deep: [{ list: [1, null, true], 'key with é': { amount: random.next() } }],
  }
  const toolCallId = `${seed}-${n}`
  return [
    { type: 'tool-call-start', toolCallId, tool: 'search' },
    { type: 'tool-call-args', toolCallId, tool: 'search', delta: JSON.stringify(args), args },
    { type: 'tool-call-result', toolCallId, tool: 'search', result: { ...args, rows: [] } },
  ]
}
