import { setTimeout as delay } from 'node:timers/promises'
import {
  type EventId,
  type History,
  type Message,
  type ResetCause,
  type ThreadEvent,
  type ThreadReset,
  ERRORS,
  ORIGIN,
  advance,
  isErrorCode,
  isTerminal,
  reduce,
  seqOf,
} from '@turnpike/protocol'
import type { HistoryRecord } from './history-checker.ts'
import type { Random } from './random.ts'
import { ConnectRefusal, connectSocketIo } from './socket-io-client.ts'
import { openEventStream } from './sse-client.ts'
import { HandshakeError, connectWebSocket } from './websocket-client.ts'

type Opening = History & { readonly cause?: ResetCause }

/** A wire that a thread can be followed over. */
type FollowWire = 'websocket' | 'sse' | 'socket.io'

const RECONNECT_MS = [1, 8] as const
const SOCKET_IO_TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']] as const

export interface FollowThreadOptions {
  /**
   * Of several, one is drawn at each connect; the cursor is the same. `mixed` is the two that every gateway has. Socket.IO
   * has to be at `/streaming`.
   */
  readonly wire: FollowWire | 'mixed' | readonly FollowWire[]
  /** `http://127.0.0.1:3000` */
  readonly baseUrl: string
  readonly threadId: string
  readonly random: Random
  readonly reasoning?: boolean
  readonly headers?: Readonly<Record<string, string>>
  /** Where to begin. @default the thread's beginning */
  readonly after?: EventId
  /** The applied event to stop at. @default the end of a run */
  readonly until?: (event: ThreadEvent) => boolean
  /** The reset to stop at. @default where `until` is not given, one whose last message is not open */
  readonly untilReset?: (reset: Pick<ThreadReset, 'head' | 'history'>) => boolean
  /** Silence after which a connection counts as dead. @default 1 s */
  readonly livenessMs?: number
  /** Time for the whole. @default 60 s */
  readonly deadlineMs?: number
}

export interface FollowedThread {
  /** For `checkHistory`. */
  readonly records: readonly HistoryRecord[]
  /** The events folded, from the latest history on. */
  readonly messages: readonly Message[]
  readonly lastEventId: EventId
  readonly connects: number
  readonly resets: number
}

/**
 * Follows a thread as a client does that never gives up: from its cursor, over one connection after the other, until
 * it has what it waits for.
 *
 * @throws Error past the deadline, and where the server refuses for good
 */
export async function followThread(options: FollowThreadOptions): Promise<FollowedThread> {
  const { wire, random, deadlineMs = 60_000 } = options
  const wires = wire === 'mixed' ? (['websocket', 'sse'] as const) : typeof wire === 'string' ? [wire] : wire
  const follower = new Follower(options)
  const deadline = performance.now() + deadlineMs
  let lastError: unknown
  while (!follower.done) {
    if (performance.now() > deadline) {
      throw new Error(`Not done within ${deadlineMs} ms. ${follower.summary}`, { cause: lastError })
    }
    try {
      await OVER[random.pick(wires)](follower, options)
    } catch (error) {
      if (isFinal(error)) throw error
      // Cut, dead or busy: what a follower is for.
      lastError = error
    }
    if (!follower.done) await delay(random.int(...RECONNECT_MS))
  }
  return follower
}

class Follower implements FollowedThread {
  readonly records: HistoryRecord[] = []
  messages: readonly Message[] = []
  lastEventId: EventId
  connects = 0
  resets = 0
  done = false
  readonly #until: (event: ThreadEvent) => boolean
  readonly #untilReset: (reset: Pick<ThreadReset, 'head' | 'history'>) => boolean

  constructor({ after, until, untilReset }: FollowThreadOptions) {
    this.lastEventId = after ?? ORIGIN
    this.#until = until ?? isTerminal
    this.#untilReset = untilReset ?? (until ? () => false : isSettled)
  }

  get summary(): string {
    return `At ${this.lastEventId}, after ${this.connects} connects and ${this.resets} resets.`
  }

  connected(recovered?: boolean): void {
    this.connects++
    this.records.push({ type: 'connected', ...(recovered !== undefined && { recovered }) })
  }

  /** Takes a frame; tells whether to go on with this connection. */
  take(frame: ThreadEvent | ThreadReset): boolean {
    if (frame.type === 'thread.reset') {
      this.reset(frame)
      return !this.done
    }
    this.records.push({ type: 'event', event: frame })
    const step = advance(seqOf(this.lastEventId), frame)
    if (step === 'apply') {
      this.messages = reduce(this.messages, frame)
      this.lastEventId = frame.id
      this.done = this.#until(frame)
    }
    return step !== 'refetch-gap' && !this.done
  }

  reset({ cause, head, history, more }: Opening): void {
    this.resets++
    this.records.push({ type: 'reset', cause, head, history, more })
    this.messages = history
    this.lastEventId = head
    this.done = this.#untilReset({ head, history })
  }
}

async function overWebSocket(follower: Follower, options: FollowThreadOptions): Promise<void> {
  const { baseUrl, threadId, reasoning = false, headers = {}, livenessMs: deadlineMs = 1_000 } = options
  await using client = await connectWebSocket({
    url: `${baseUrl.replace(/^http/, 'ws')}/stream`,
    headers,
    deadlineMs,
  })
  const { lastEventId } = follower
  const answer = await client.request('thread.subscribe', { threadId, lastEventId, reasoning })
  if (!answer.ok) throw refusedWith(answer.error.code, answer)
  follower.connected(answer.recovered)
  if (!answer.recovered) follower.reset(answer)
  while (!follower.done) {
    const frame = await client.inbox.next()
    const isOfThread = frame.type !== undefined && frame.type !== 'goodbye'
    if (isOfThread && !follower.take(frame)) return
  }
}

async function overEventStream(follower: Follower, options: FollowThreadOptions): Promise<void> {
  const { baseUrl, threadId, reasoning = false, headers = {}, livenessMs: deadlineMs = 1_000 } = options
  await using stream = await openEventStream({
    url: `${baseUrl}/threads/${encodeURIComponent(threadId)}/events${reasoning ? '?reasoning=1' : ''}`,
    headers: { ...headers, 'last-event-id': follower.lastEventId },
    deadlineMs,
  })
  if (stream.body !== undefined) throw new Refused(stream.status, stream.body)
  follower.connected()
  while (!follower.done) {
    const { data } = await stream.events.next()
    if (!follower.take(data as ThreadEvent | ThreadReset)) return
  }
}

async function overSocketIo(follower: Follower, options: FollowThreadOptions): Promise<void> {
  const { baseUrl: url, threadId, reasoning = false, headers = {}, livenessMs: deadlineMs = 1_000 } = options
  const { lastEventId } = follower
  const place = { threadId, lastEventId, reasoning }
  const atConnect = options.random.next() < 0.5
  await using client = await connectSocketIo({
    url,
    headers,
    deadlineMs,
    transports: options.random.pick(SOCKET_IO_TRANSPORTS),
    ...(atConnect && { auth: place }),
  })
  if (atConnect) follower.connected()
  else {
    const answer = await client.request('thread.subscribe', place)
    if (!answer.ok) throw refusedWith(answer.error.code, answer)
    follower.connected(answer.recovered)
    if (!answer.recovered) follower.reset(answer)
  }
  while (!follower.done) {
    const frame = await client.inbox.next()
    if (frame.type === 'command.error') throw refusedWith(frame.code, frame)
    if (frame.type !== 'goodbye' && !follower.take(frame)) return
  }
}

const OVER = { websocket: overWebSocket, sse: overEventStream, 'socket.io': overSocketIo }

function refusedWith(code: string, answer: unknown): Refused {
  return new Refused(isErrorCode(code) ? ERRORS[code].http : 500, answer)
}

class Refused extends Error {
  readonly status: number

  constructor(status: number, answer: unknown) {
    super(`The server refused: ${status} ${JSON.stringify(answer)}`)
    this.status = status
  }
}

/** What trying again cannot mend: a refusal, or a server that breaks the rules of its wire. */
function isFinal(error: unknown): boolean {
  if (error instanceof ConnectRefusal && error.data) return isFinal(refusedWith(error.data.code, error.data))
  if (error instanceof Refused || error instanceof HandshakeError) {
    return error.status >= 400 && error.status < 500 && ![408, 409, 429].includes(error.status)
  }
  return (
    error instanceof SyntaxError ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('WS_ERR_'))
  )
}

function isSettled({ history }: { readonly history: readonly Message[] }): boolean {
  const last = history.at(-1)
  return last !== undefined && last.status !== 'open'
}
