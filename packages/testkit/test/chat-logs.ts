import {
  type EventPayload,
  type Message,
  type ThreadEvent,
  isTerminal,
  mergeDeltas,
  mintEventId,
  reduce,
} from '@turnpike/protocol'
import { type Random } from '@turnpike/testkit'
import { type ChatFrame, type ChatRecord, type ChatVerdict, chatJsonWords } from '@turnpike/testkit/chat'

export const asked = (runId: string): ChatRecord => ({ type: 'asked', ask: { runId } })
export const told = (...frames: readonly object[]): ChatRecord[] =>
  frames.map((frame) => ({ type: 'told', frame: frame as ChatFrame }))
export const chunk = (runId: string, text: string): object => ({ type: 'chunk', text, runId })

/** The log of a session in which runs answer with so many words, call a tool in their middle, and end. */
export function logOf(
  threadId: string,
  runs: readonly { runId: string; words: number; fails?: boolean }[],
): ThreadEvent[] {
  const log: ThreadEvent[] = []
  for (const { runId, words, fails = false } of runs) {
    const add = (payload: EventPayload): void => {
      const seq = log.length + 1
      log.push({ id: mintEventId(1, seq), seq, threadId, runId, ts: 1, ...payload })
    }
    const parts = [{ type: 'text' as const, text: 'hi' }]
    const input: Message = { id: `q${runId}`, role: 'user', parts, runId, status: 'done', createdAt: 1 }
    add({ type: 'start', agent: 'a', input, messageId: `m${runId}` })
    const texts = Array.from({ length: words }, (_, n) => `${runId}.${n} `)
    for (const [n, delta] of texts.entries()) {
      add({ type: 'text-delta', delta, channel: 'answer' })
      if (n !== Math.floor(words / 2)) continue
      add({ type: 'text-delta', delta: 'hm', channel: 'reasoning' })
      add({ type: 'tool-call-start', toolCallId: 'c', tool: 'search' })
      add({ type: 'tool-call-args', toolCallId: 'c', tool: 'search', delta: '{}', args: { of: runId } })
      add({ type: 'tool-call-result', toolCallId: 'c', tool: 'search', result: [runId] })
    }
    const usage = { inputTokens: 0, outputTokens: 0 }
    if (fails) add({ type: 'error', agent: 'a', error: { code: 'agent-failed', message: 'No.' } })
    else add({ type: 'finish', agent: 'a', finishReason: 'stop', text: texts.join(''), steps: 1, usage })
  }
  return log
}

/** What a faithful gateway says of a part of a log: with texts joined at random, and resets. */
export function tell(log: readonly ThreadEvent[], from: string, random: Random): ChatFrame[] {
  const begin = log.findIndex(({ runId }) => runId === from)
  const frames: ChatFrame[] = []
  for (let i = begin; i < log.length;) {
    const batch = log.slice(i, i + random.int(1, 6))
    i += batch.length
    const head = batch.at(-1)
    if (head && random.next() < 0.1) {
      frames.push(resetAt(log, head))
      frames.push(...tellAll(batch.filter((event) => event.runId === from && isTerminal(event))))
    } else frames.push(...tellAll(random.next() < 0.5 ? mergeDeltas(batch) : batch))
  }
  return frames
}

export function resetAt(log: readonly ThreadEvent[], { id, seq, threadId }: ThreadEvent): ChatFrame {
  const history = log
    .filter((event) => event.seq <= seq)
    .reduce(reduce, [])
    .map((message: Message) => ({
      ...message,
      parts: message.parts.filter((part) => part.type !== 'reasoning'),
    }))
  return { type: 'reset', sessionId: threadId, cause: 'lagged', head: id, history }
}

/** All that is to be told of a log, each event in a frame of its own. */
export function tellAll(log: readonly ThreadEvent[]): ChatFrame[] {
  return log.flatMap((event) => {
    const frame = chatJsonWords.frameOf(event, { runId: event.runId })
    return frame ? [{ ...frame, runId: event.runId }] : []
  })
}

export const kindsIn = (verdicts: readonly ChatVerdict[]): Set<string> =>
  new Set(verdicts.map(({ kind }) => kind))
