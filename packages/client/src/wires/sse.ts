import {
  type Answers,
  type CommandName,
  type EventId,
  type Message,
  type PayloadOf,
  GatewayError,
} from '@turnpike/protocol'
import { EventStreamReader } from '../event-stream.ts'
import { type Fetch, headersOf, refusalOf } from '../http.ts'
import { goodbyeError, readFrame } from '../inbound.ts'
import { isAboutToken } from '../reconnect.ts'
import {
  type Link,
  type LinkAddress,
  type LinkEnd,
  type LinkHandlers,
  type Settle,
  type Wire,
  LinkLost,
} from '../wire.ts'

const HEAD_MS = 20_000
/** The server says something every 15 s. */
const SILENCE_MS = 40_000
/** A stream that was silent for so long is opened again where there is a reason to doubt it. */
const DOUBT_MS = 5_000

/** HTTP with event streams: one request a command, one stream a thread that is followed. */
export function sseWire(fetch: Fetch): Wire {
  return { name: 'sse', open: (address, handlers) => new SseLink(fetch, { address, handlers }) }
}

/** The stream of one thread. */
interface Stream {
  readonly threadId: string
  readonly reasoning: boolean | undefined
  readonly abort: AbortController
  /** It ends with this run. */
  readonly runId?: string
  runEnded: boolean
  /** The event to go on after then. */
  lastEventId: string | undefined
  heardAt: number
}

type Command = { [Name in CommandName]: { name: Name; payload: PayloadOf<Name> } }[CommandName]

/** An answer, and what begins once it is given. */
interface Executed {
  readonly answer: object
  readonly begin?: () => void
}

const asIs = (response: Response): Response => response

class SseLink implements Link {
  readonly #fetch: Fetch
  readonly #address: LinkAddress
  readonly #handlers: LinkHandlers
  readonly #abort = new AbortController()
  readonly #streams = new Map<string, Stream>()
  /** Threads whose stream is asked for, each with what it was asked with last. */
  readonly #asked = new Map<string, AbortController>()
  #defaultAgent = ''
  #reached = false
  #ended = false

  constructor(fetch: Fetch, { address, handlers }: { address: LinkAddress; handlers: LinkHandlers }) {
    this.#fetch = fetch
    this.#address = address
    this.#handlers = handlers
    void this.#open()
  }

  get heardAt(): number {
    const now = this.#address.clock.now()
    return Math.min(now, ...Array.from(this.#streams.values(), ({ heardAt }) => heardAt))
  }

  request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>, settle: Settle<Name>): void {
    if (this.#ended) return settle({ error: new LinkLost() })
    this.#execute({ name: command, payload } as Command).then(
      ({ answer, begin }) => {
        settle(this.#ended ? { error: new LinkLost() } : { answer: answer as Answers[Name] })
        begin?.()
      },
      (error: unknown) => settle({ error: this.#failed(error) }),
    )
  }

  /** Another request would say nothing about the streams: those that are silent are opened again. */
  probe(): void {
    const now = this.#address.clock.now()
    if (now - this.heardAt >= SILENCE_MS) return this.#end({})
    for (const stream of [...this.#streams.values()]) {
      if (now - stream.heardAt >= DOUBT_MS && stream.lastEventId !== undefined) this.#goOn(stream)
    }
  }

  close(): void {
    this.#ended = true
    this.#streams.clear()
    this.#abort.abort()
  }

  /** Who comes in is asked for the agents: that says whether the token does, and which agent is the default. */
  async #open(): Promise<void> {
    try {
      const { agents } = await this.#json<{ agents: { name: string }[] }>('/agents')
      this.#defaultAgent = agents[0]?.name ?? ''
    } catch (error) {
      return this.#end(error instanceof GatewayError ? { error } : {})
    }
    if (!this.#ended) this.#handlers.onOpen()
  }

  async #execute(command: Command): Promise<Executed> {
    switch (command.name) {
      case 'thread.send':
        return this.#send(command.payload)
      case 'thread.subscribe':
        return this.#subscribe(command.payload)
      case 'thread.unsubscribe':
        this.#drop(command.payload.threadId)
        return { answer: {} }
      case 'run.cancel':
        return { answer: await this.#json(`/runs/${encodeURIComponent(command.payload.runId)}/cancel`, {}) }
      case 'approval.resolve': {
        const { approvalId, ...decision } = command.payload
        return { answer: await this.#json(`/approvals/${encodeURIComponent(approvalId)}`, decision) }
      }
      case 'auth':
        return { answer: {} }
      default:
        return command satisfies never
    }
  }

  /** What nobody answered, and who is not let in any more, is for another connection. The rest is for who asked. */
  #failed(error: unknown): GatewayError | LinkLost {
    if (this.#ended) return new LinkLost()
    if (!(error instanceof GatewayError)) this.#end({})
    else if (isAboutLink(error)) this.#end({ error })
    else return error
    return new LinkLost()
  }

  async #send(payload: PayloadOf<'thread.send'>): Promise<Executed> {
    const { agent = this.#defaultAgent, threadId = '', runId = '', ...body } = payload
    const path = `/agents/${encodeURIComponent(agent)}/chat/stream`
    const abort = new AbortController()
    const response = await this.#ask(path, { body: { ...body, threadId, runId }, abort }, asIs)
    const answer = { threadId, runId, status: 'started' }
    // Who follows the thread already has the run's events there. Letting go of a stream never stops a run.
    if (this.#streams.has(threadId)) {
      abort.abort()
      return { answer }
    }
    const stream = { threadId, abort, runId, reasoning: body.reasoning, lastEventId: undefined }
    return { answer, begin: this.#follow(response, stream) }
  }

  async #subscribe(payload: PayloadOf<'thread.subscribe'>): Promise<Executed> {
    const { threadId, lastEventId, reasoning = false } = payload
    this.#drop(threadId)
    const abort = new AbortController()
    this.#asked.set(threadId, abort)
    const path = `/threads/${encodeURIComponent(threadId)}`
    const flag = reasoning ? '&reasoning=1' : ''
    const opening =
      lastEventId === undefined
        ? await this.#json<{ messages: Message[]; head: EventId; more?: true }>(
            `${path}/messages?limit=200${flag}`,
          )
        : undefined
    const after = opening?.head ?? lastEventId
    const events = `${path}/events?after=${encodeURIComponent(after ?? '')}${flag}`
    const response = await this.#ask(events, { abort }, asIs)
    // Who let go of the thread meanwhile would never read it.
    const isWanted = this.#asked.get(threadId) === abort
    if (!isWanted) abort.abort()
    const begin = isWanted
      ? this.#follow(response, { threadId, abort, reasoning, lastEventId: after })
      : () => {}
    if (!opening) return { answer: { recovered: true, head: after }, begin }
    const { messages: history, head, more } = opening
    return { answer: { recovered: false, head, history, ...(more && { more }) }, begin }
  }

  #drop(threadId: string): void {
    this.#asked.delete(threadId)
    this.#streams.get(threadId)?.abort.abort()
    this.#streams.delete(threadId)
  }

  /** Takes a response as the thread's stream; returns what begins to read it. */
  #follow(response: Response, options: Omit<Stream, 'heardAt' | 'runEnded'>): () => void {
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
      throw new TypeError('The answer is no event stream.')
    }
    const { threadId } = options
    const heardAt = this.#address.clock.now()
    const stream: Stream = { ...options, heardAt, runEnded: false }
    this.#drop(threadId)
    this.#streams.set(threadId, stream)
    return () => void this.#read(stream, response)
  }

  async #read(stream: Stream, { body }: Response): Promise<void> {
    const isCurrent = (): boolean => !this.#ended && this.#streams.get(stream.threadId) === stream
    try {
      const decoder = new TextDecoder()
      const blocks = new EventStreamReader(({ data }) => {
        if (data !== '' && isCurrent()) this.#take(stream, data)
      })
      const reader = body?.getReader()
      for (;;) {
        const { done = true, value } = (await reader?.read()) ?? {}
        if (done || !isCurrent()) break
        stream.heardAt = this.#address.clock.now()
        blocks.push(decoder.decode(value, { stream: true }))
      }
    } catch {
      // Cut, or let go of; both are told below.
    }
    if (!isCurrent()) return
    if (stream.runEnded) this.#goOn(stream)
    else this.#end({})
  }

  #take(stream: Stream, data: string): void {
    const frame = readFrame(data)
    if (!frame || frame.type === 'answer') return
    if (frame.type === 'goodbye') return this.#end({ error: goodbyeError(frame) })
    if (frame.type === 'thread.reset') {
      stream.lastEventId = frame.head
      const last = frame.history.findLast(({ runId }) => runId === stream.runId)
      if (last && last.status !== 'open') stream.runEnded = true
    } else {
      stream.lastEventId = frame.id
      const isEnd = frame.type === 'finish' || frame.type === 'error'
      if (isEnd && frame.runId === stream.runId) stream.runEnded = true
    }
    this.#handlers.onFrame(frame)
  }

  /**
   * The stream of a run ends with it, and one may be dead. Who still follows the thread goes on behind it.
   *
   * A refusal is for who follows, and nobody waits for this answer: they ask again, over another link, and get theirs.
   */
  #goOn({ threadId, lastEventId, reasoning }: Stream): void {
    this.request('thread.subscribe', { threadId, lastEventId, reasoning }, (outcome) => {
      if (!('error' in outcome) || !this.#asked.has(threadId)) return
      const { retryAfterMs } = outcome.error as Partial<GatewayError>
      this.#end(retryAfterMs === undefined ? {} : { retryAfterMs })
    })
  }

  async #json<Body extends object>(path: string, body?: object): Promise<Body> {
    const abort = new AbortController()
    return this.#ask(path, { body, abort }, async (response) => (await response.json()) as Body)
  }

  /** A stream is taken with its head; the deadline is for all that `take` waits for. */
  async #ask<Taken>(
    path: string,
    { body, abort }: { body?: object | undefined; abort: AbortController },
    take: (response: Response) => Taken | Promise<Taken>,
  ): Promise<Taken> {
    const { url, token, clock } = this.#address
    const stop = clock.after(HEAD_MS, () => abort.abort())
    try {
      const response = await this.#fetch(`${url}${path}`, {
        method: body ? 'POST' : 'GET',
        headers: { ...headersOf(token), ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.any([abort.signal, this.#abort.signal]),
      })
      this.#reached = true
      if (!response.ok) throw await refusalOf(response)
      return await take(response)
    } finally {
      stop()
    }
  }

  #end(end: Omit<LinkEnd, 'reached'>): void {
    if (this.#ended) return
    this.close()
    this.#handlers.onEnd({ reached: this.#reached, ...end })
  }
}

/** Tells whether every other command would be refused as well. */
function isAboutLink(error: GatewayError): boolean {
  return error.row.retry === 'reconnect' || isAboutToken(error)
}
