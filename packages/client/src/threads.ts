import {
  type EventId,
  type Message,
  type MessageInput,
  type ThreadReset,
  type WhenBusy,
  GatewayError,
} from '@turnpike/protocol'
import type { Feeds } from './feeds.ts'
import type { Http } from './http.ts'
import { newId } from './new-id.ts'
import { type Send, Reader } from './reader.ts'
import { Reading } from './reading.ts'
import { type RunStream, type ThreadStream, EventStream } from './run-stream.ts'
import { type ThreadSubscription, UpdateStream } from './subscription.ts'

/** An agent that can be talked to. */
export interface AgentInfo {
  readonly name: string
  readonly kind: string
  readonly description?: string
  readonly model: string | null
  readonly provider: string | null
  readonly tools: readonly string[]
}

/** A thread in a list. */
export interface ThreadSummary {
  readonly id: string
  readonly title: string
  readonly createdAt: number
  readonly updatedAt: number
}

/** Which part of a list: `before` is that of the page before. */
export interface PageOptions<Cursor> {
  /** At most 200. @default 50 */
  readonly limit?: number
  readonly before?: Cursor
  readonly signal?: AbortSignal
}

export interface ThreadPageOptions extends PageOptions<string> {
  readonly search?: string
}

export interface MessagePage {
  readonly messages: readonly Message[]
  /** The event that the newest of them go up to. */
  readonly head: EventId
  /** Given where there are older ones. */
  readonly before?: number
}

/** Something that an agent made in a thread. */
export interface Artifact {
  readonly id: string
  readonly version: number
  readonly kind: string
  readonly title: string
  /** JSON. */
  readonly content: unknown
}

export interface ThreadPage {
  readonly threads: readonly ThreadSummary[]
  /** Given where there may be older ones. */
  readonly before?: string
}

interface ReadOptions {
  /** Stops the reading, never the run. */
  readonly signal?: AbortSignal
  /** With the model's reasoning. @default false */
  readonly reasoning?: boolean
  /** The event to go on after. */
  readonly lastEventId?: EventId | string
}

interface RunOptions extends Omit<ReadOptions, 'lastEventId'> {
  /** Goes on after a part of the run that is no longer to be had. Without, the iterator throws a {@link StreamReset}. */
  readonly onReset?: (reset: ThreadReset) => void
}

/** A message, and how to stream what it starts. */
export interface SendOptions extends RunOptions {
  readonly message: MessageInput
  /** @default a new thread */
  readonly threadId?: string
  /** @default the gateway's first agent */
  readonly agent?: string
  /** Names the run. Sent again with the same one, a message starts nothing new. @default a new one */
  readonly runId?: string
  /** What to do where a run of the thread is in progress. @default what the gateway does: mostly `enqueue` */
  readonly whenBusy?: WhenBusy
}

/** A run to stream that was started elsewhere, or earlier. */
export interface FollowOptions extends RunOptions, Pick<ReadOptions, 'lastEventId'> {
  readonly threadId: string
  readonly message?: undefined
  /** @default the run in progress, or else the next one */
  readonly runId?: string
}

export interface SubscribeOptions extends ReadOptions {
  readonly threadId: string
  /** What is known up to `lastEventId`; it is folded on. */
  readonly messages?: readonly Message[]
}

export interface Threads {
  /**
   * Sends a message and streams its run until it has ended, however often the connection is lost meanwhile. Sent while
   * there is no connection, it waits for one. Each call starts exactly one run.
   *
   * @throws GatewayError what the server refuses with: `unknown-agent`, `thread-busy`, `run-id-conflict` …;
   *   `early-overflow` where too much waits for a connection already
   */
  stream(options: SendOptions): Promise<RunStream>
  /**
   * Streams a run that was started elsewhere, or earlier.
   *
   * @throws GatewayError `unknown-thread`; `unknown-run`, also by its end, where the history does not go back to it
   */
  stream(options: FollowOptions): Promise<ThreadStream>
  /** Follows a thread until it is closed: its history first, then every event. Its iterator throws what the server refuses with. */
  subscribe(options: SubscribeOptions): ThreadSubscription
  /** A page of a thread's messages, the latest first to be had. @throws GatewayError `unknown-thread` */
  messages(
    threadId: string,
    page?: PageOptions<number> & { readonly reasoning?: boolean },
  ): Promise<MessagePage>
  /** An artifact of a thread: its latest version, or the one asked for. @throws GatewayError `unknown-artifact` */
  artifact(
    threadId: string,
    id: string,
    options?: { readonly version?: number; readonly signal?: AbortSignal },
  ): Promise<Artifact>
  /** A page of this user's threads, the latest first; with `search`, of those with all of its words in one text. */
  list(page?: ThreadPageOptions): Promise<ThreadPage>
}

export interface ThreadsOptions {
  readonly feeds: Feeds
  readonly http: Http
  readonly cancel: (runId: string) => Promise<unknown>
  /** @throws GatewayError where nothing more can be asked for; `waits` where it may have to wait */
  readonly assertOpen: (waits: boolean) => void
}

/** The threads of a client. */
export function createThreads(options: ThreadsOptions): Threads {
  const { http } = options

  function stream(asked: SendOptions): Promise<RunStream>
  function stream(asked: FollowOptions): Promise<ThreadStream>
  function stream(asked: SendOptions | FollowOptions): Promise<ThreadStream> {
    return openStream(options, asked)
  }

  return {
    stream,
    subscribe: (asked) => openSubscription(options, asked),
    messages(threadId, { limit, before, reasoning, signal } = {}) {
      const query = queryOf({ limit, before, reasoning: reasoning ? 1 : undefined })
      return http.get(`/threads/${encodeURIComponent(threadId)}/messages${query}`, signal)
    },
    async artifact(threadId, id, { version, signal } = {}) {
      const path = `/threads/${encodeURIComponent(threadId)}/artifacts/${encodeURIComponent(id)}`
      return (await http.get<{ artifact: Artifact }>(path + queryOf({ version }), signal)).artifact
    },
    list({ limit, before, search, signal } = {}) {
      return http.get(`/threads${queryOf({ limit, before, q: search })}`, signal)
    },
  }
}

async function openStream(
  { feeds, cancel, assertOpen }: ThreadsOptions,
  options: SendOptions | FollowOptions,
): Promise<ThreadStream> {
  const { signal, onReset, reasoning, threadId = newId() } = options
  signal?.throwIfAborted()
  assertOpen(options.message !== undefined)
  const isFollowing = options.message === undefined
  const send = isFollowing ? undefined : sendOf(options, threadId)
  const cursor = isFollowing ? (options.lastEventId as EventId | undefined) : undefined
  const begun = Promise.withResolvers<void>()
  const events: EventStream = new EventStream({
    threadId,
    runId: send?.runId ?? options.runId,
    onReset,
    cancelRun: cancel,
    onBegin: () => begun.resolve(),
    onClose(error) {
      reading.end()
      if (error) begun.reject(error)
    },
  })
  const onAbort = (): void => {
    begun.reject(signal?.reason)
    events.close()
  }
  const reading = new Reading({ feeds, threadId, signal, onAbort })
  const reader = new Reader({ sink: events, reasoning, send, cursor })
  events.readFrom(reader)
  reading.begin(reader)
  // Who goes on after an event has nothing to wait for.
  if (cursor !== undefined) begun.resolve()
  await begun.promise
  return events
}

function openSubscription(
  { feeds, assertOpen }: ThreadsOptions,
  { threadId, lastEventId, messages, reasoning, signal }: SubscribeOptions,
): ThreadSubscription {
  const updates: UpdateStream = new UpdateStream({ threadId, onClose: () => reading.end() })
  const reading = new Reading({ feeds, threadId, signal, onAbort: () => updates.close() })
  const cursor = lastEventId as EventId | undefined
  const reader = new Reader({ sink: updates, reasoning, cursor, messages })
  updates.readFrom(reader)
  try {
    signal?.throwIfAborted()
    assertOpen(false)
    reading.begin(reader)
  } catch (error) {
    updates.onFail(error instanceof Error ? error : new Error('It was aborted.', { cause: error }))
  }
  return updates
}

function sendOf(options: SendOptions, threadId: string): Send {
  const { message, agent, whenBusy, runId = newId() } = options
  if (typeof message === 'string' && message === '') {
    throw new GatewayError('invalid-payload', 'A message must not be empty.')
  }
  return { threadId, message, runId, ...(agent !== undefined && { agent }), ...(whenBusy && { whenBusy }) }
}

function queryOf(fields: Record<string, string | number | undefined>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) query.set(name, String(value))
  return query.size > 0 ? `?${query.toString()}` : ''
}
