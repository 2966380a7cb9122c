import {
  type EventId,
  type GatewayError,
  type Message,
  type MessageInput,
  type ThreadEvent,
  type WhenBusy,
  GatewayError as Refusal,
  ORIGIN,
} from '@turnpike/protocol'
import type { Client } from '../client.ts'
import { newId } from '../new-id.ts'
import type { RunStream } from '../run-stream.ts'
import type { ThreadSubscription, ThreadUpdate } from '../subscription.ts'
import { asGatewayError } from './as-gateway-error.ts'
import { callEach } from './call-each.ts'
import { onNextFrame } from './next-frame.ts'
import { OlderMessages } from './older-messages.ts'
import { type Sending, Outgoing } from './outgoing.ts'
import { Resumption } from './resumption.ts'
import { RunFacts } from './run-facts.ts'
import { type SubscriptionRoom, roomOf } from './subscription-room.ts'
import {
  type ThreadSnapshot,
  type ThreadStatus,
  MessageList,
  NO_CONNECTION,
  isSameSnapshot,
} from './thread-snapshot.ts'

export interface ThreadStoreOptions {
  readonly client: Client
  readonly threadId: string
  /** With the model's reasoning. @default false */
  readonly reasoning?: boolean
  /** The thread is not there yet: it costs nothing until its first message. @default false */
  readonly isDraft?: boolean
  /** The snapshot is another one, or somebody began or ceased to listen. */
  readonly onUpdate?: (store: ThreadStore) => void
  /** A message was taken, or a run of the thread has begun or ended: lists of threads are another. */
  readonly onActivity?: () => void
}

/** How to send a message. */
export interface SendMessageOptions {
  /** @default that of the hook, or else the gateway's first agent */
  readonly agent?: string
  readonly whenBusy?: WhenBusy
  /** Names the run: sent again with the same one, a message starts nothing new. @default a new one */
  readonly runId?: string
}

/** What may be wrong, each until a success of its own kind. */
interface Problems {
  readonly reading?: GatewayError | undefined
  readonly asking?: GatewayError | undefined
  readonly running?: GatewayError | undefined
}

/**
 * One thread to be shown: what is known of it, and what can be done with it. It knows nothing of React.
 *
 * The thread is followed while somebody listens; later it goes on where it stood. Changes that come from the server
 * are told once a frame, those that a call here makes at once.
 */
export class ThreadStore {
  readonly threadId: string
  readonly #options: ThreadStoreOptions
  readonly #listeners = new Map<() => void, number>()
  readonly #facts = new RunFacts()
  readonly #resumption = new Resumption()
  readonly #outgoing = new Outgoing()
  readonly #older: OlderMessages
  readonly #list = new MessageList()
  readonly #room: SubscriptionRoom
  /** Messages that the server has not taken yet, by their runs. */
  readonly #sendings = new Map<string, Promise<unknown>>()
  readonly #initial: ThreadSnapshot
  #snapshot: ThreadSnapshot
  #live: readonly Message[] = []
  #head: EventId | undefined
  #isLoaded: boolean
  #isDraft: boolean
  /** The server does not know the thread. */
  #isUnknown: boolean
  #problems: Problems = {}
  #subscription: ThreadSubscription | undefined
  #stopWatching: (() => void) | undefined
  #stopWaiting: (() => void) | undefined
  #wasOpen = false
  #callOffFlush: (() => void) | undefined

  constructor(options: ThreadStoreOptions) {
    const { client, threadId, reasoning = false, isDraft = false } = options
    this.#options = options
    this.threadId = threadId
    this.#room = roomOf(client)
    this.#isDraft = this.#isUnknown = this.#isLoaded = isDraft
    this.#older = new OlderMessages((page) => client.threads.messages(threadId, { ...page, reasoning }))
    this.#initial = {
      threadId: isDraft ? undefined : threadId,
      messages: [],
      events: [],
      status: isDraft ? 'idle' : 'loading',
      run: undefined,
      error: undefined,
      connection: NO_CONNECTION,
      resumed: undefined,
      hasMore: false,
      background: [],
      memories: [],
    }
    this.#snapshot = { ...this.#initial, connection: client.connection.state }
  }

  get isFollowed(): boolean {
    return this.#listeners.size > 0
  }

  /** What is known now. */
  readonly getSnapshot = (): ThreadSnapshot => this.#snapshot

  /** What is known before anything is: for a server, and for a page that takes over from one. */
  readonly getInitialSnapshot = (): ThreadSnapshot => this.#initial

  /**
   * Calls back after changes; returns what stops it.
   *
   * @param keepEvents - How many events this listener wants to find in the snapshot. @default 500
   */
  onChange(listener: () => void, keepEvents = 500): () => void {
    const own = (): void => listener()
    this.#listeners.set(own, keepEvents)
    if (!this.#stopWatching) this.#start()
    return () => {
      if (!this.#listeners.delete(own) || this.isFollowed) return
      // React takes a listener away and brings it back within one turn, for many a reason.
      queueMicrotask(() => {
        if (!this.isFollowed) this.#stop()
      })
    }
  }

  /**
   * Sends a message; it is shown at once. Resolves when the server has taken it.
   *
   * @throws GatewayError what the server refuses with; the message is then shown no longer
   */
  async send(
    message: MessageInput,
    options: SendMessageOptions = {},
  ): Promise<{ threadId: string; runId: string }> {
    const { client, reasoning = false } = this.#options
    const { threadId } = this
    const runId = options.runId ?? newId()
    const asked: Sending = { ...options, threadId, message, runId, reasoning }
    const sending = client.threads.stream(asked)
    this.#sendings.set(runId, sending)
    if (!this.#live.some((each) => each.runId === runId)) this.#outgoing.add(asked)
    this.#begin()
    this.#flush()
    try {
      this.#taken(await sending)
      return { threadId, runId }
    } catch (error) {
      this.#outgoing.remove(runId)
      this.#became({ asking: asGatewayError(error) })
      throw error
    } finally {
      if (this.#sendings.get(runId) === sending) this.#sendings.delete(runId)
    }
  }

  /** Stops the active run, or the one that a message on its way is to start. Where there is none, nothing happens. */
  async cancel(): Promise<void> {
    const runId = this.#activeRunId ?? this.#outgoing.lastRunId
    if (runId === undefined) return
    // Before its message is taken, the server does not know the run. A refused one has none.
    const isTaken = await this.#sendings.get(runId)?.then(
      () => true,
      () => false,
    )
    if (isTaken !== false) await this.#ask(this.#options.client.runs.cancel(runId))
  }

  /** Decides what an `approval-pending` asked for. @throws GatewayError `unknown-approval` */
  async approve(approvalId: string, approved: boolean, reason?: string): Promise<void> {
    const decision = { approvalId, approved, ...(reason !== undefined && { reason }) }
    await this.#ask(this.#options.client.approvals.resolve(decision))
  }

  /** Loads a page of older messages. */
  async loadMore(): Promise<void> {
    await this.#ask(this.#older.load([...this.#older.messages, ...this.#live]))
  }

  get #activeRunId(): string | undefined {
    return this.#live.findLast(({ status, role }) => status === 'open' && role === 'assistant')?.runId
  }

  async #ask(wish: Promise<unknown>): Promise<void> {
    try {
      await wish
      this.#became({ asking: undefined })
    } catch (error) {
      this.#became({ asking: asGatewayError(error) })
      throw error
    }
  }

  #start(): void {
    const { connection } = this.#options.client
    this.#wasOpen = connection.state.status === 'open'
    this.#stopWatching = connection.onChange(() => this.#connectionChanged())
    // A store that was left in this turn stops first: its subscription may be the one that there is room for.
    queueMicrotask(() => {
      if (!this.isFollowed || this.#isDraft) return
      if (!this.#subscription) this.#follow()
      for (const sending of this.#outgoing.unwatched()) void this.#sendAgain(sending)
    })
    this.#flush()
    this.#options.onUpdate?.(this)
  }

  #stop(): void {
    this.#stopWatching?.()
    this.#stopWatching = undefined
    this.#stopWaiting?.()
    this.#stopWaiting = undefined
    const subscription = this.#subscription
    this.#subscription = undefined
    subscription?.close()
    this.#outgoing.rest()
    if (subscription) this.#room.free()
    this.#callOffFlush?.()
    this.#flush()
    this.#options.onUpdate?.(this)
  }

  #follow(): void {
    const { client, reasoning = false } = this.#options
    const { threadId } = this
    const known = this.#head !== undefined && { lastEventId: this.#head, messages: this.#live }
    const subscription = client.threads.subscribe({ threadId, reasoning, ...known })
    this.#subscription = subscription
    this.#stopWaiting?.()
    this.#stopWaiting = undefined
    void this.#read(subscription)
  }

  async #read(subscription: ThreadSubscription): Promise<void> {
    const { freed } = this.#room
    const isOurs = (): boolean => this.#subscription === subscription
    try {
      for await (const update of subscription) {
        if (!isOurs()) return
        this.#take(update)
      }
      // Not by us: the client was closed.
      if (isOurs()) this.#subscription = undefined
    } catch (error) {
      if (!isOurs()) return
      const refusal = asGatewayError(error)
      this.#failed(refusal)
      if (refusal.code === 'too-many-subscriptions') this.#waitForRoom(freed)
    }
  }

  /** Follows as soon as another store has let go of a thread, which one may have done by now. */
  #waitForRoom(freed: number): void {
    if (this.#room.freed !== freed) this.#follow()
    else this.#stopWaiting = this.#room.wait(() => this.#follow())
  }

  #take(update: ThreadUpdate): void {
    const runBefore = this.#activeRunId
    const wasLoaded = this.#isLoaded
    if (update.type === 'event') {
      const { event } = update
      this.#head = event.id
      this.#facts.take(event)
      this.#resumption.take(event, Date.now())
      this.#hearOfRun(event)
    } else {
      const { messages, head, more = false } = update
      this.#older.rebase(messages, { shown: [...this.#older.messages, ...this.#live], more })
      this.#head = head
      this.#resumption.replaced()
      this.#facts.forget()
    }
    this.#live = update.messages
    this.#outgoing.settle(update.messages)
    this.#isLoaded = true
    this.#isUnknown = false
    this.#problems = { ...this.#problems, reading: undefined }
    this.#callOffFlush ??= onNextFrame(() => this.#flush())
    if (wasLoaded && this.#activeRunId !== runBefore) this.#options.onActivity?.()
  }

  #hearOfRun(event: ThreadEvent): void {
    if (event.type === 'start') this.#problems = { ...this.#problems, running: undefined }
    if (event.type === 'error') this.#problems = { ...this.#problems, running: Refusal.from(event.error) }
  }

  #failed(error: GatewayError): void {
    this.#subscription = undefined
    if (error.code !== 'unknown-thread') return this.#became({ reading: error })
    // A thread that nobody wrote to is empty. One that was there before is missed.
    this.#isUnknown = this.#isLoaded = true
    this.#head = undefined
    this.#became({ reading: this.#live.length > 0 ? error : undefined })
  }

  #connectionChanged(): void {
    const { status } = this.#options.client.connection.state
    if (status === 'open') {
      const head = this.#subscription?.lastEventId ?? this.#head
      if (this.#wasOpen && head !== undefined) this.#resumption.begin(head, Date.now())
      this.#wasOpen = true
      if (!this.#subscription && !this.#isDraft) this.#follow()
    }
    this.#flush()
  }

  /** A message makes the thread, if it is not there: then it is known from its first event. */
  #begin(): void {
    this.#isDraft = false
    if (this.#isUnknown) {
      this.#isUnknown = false
      this.#head = ORIGIN
      this.#live = []
      this.#older.rebase([], { shown: [], more: false })
      this.#problems = { ...this.#problems, reading: undefined }
    }
    if (this.isFollowed && !this.#subscription) this.#follow()
  }

  #taken(stream: RunStream): void {
    this.#outgoing.taken(stream.runId, stream)
    if (!this.isFollowed) this.#outgoing.rest()
    this.#became({ asking: undefined })
    this.#options.onActivity?.()
    if (!this.#outgoing.waitsFor(stream)) return
    stream.finished.then(
      () => this.#outgoing.waitsFor(stream) && this.#gone(stream, undefined),
      (error) => this.#outgoing.waitsFor(stream) && this.#gone(stream, asGatewayError(error)),
    )
  }

  /** While nobody listened nobody watched over it, and the server may have lost it. */
  async #sendAgain(sending: Sending & { readonly signal: AbortSignal }): Promise<void> {
    const { runId, signal } = sending
    try {
      this.#taken(await this.#options.client.threads.stream(sending))
    } catch (error) {
      if (!signal.aborted) this.#gone({ runId }, asGatewayError(error))
    }
  }

  /** The run has ended, or was lost, and nothing of it was seen here. */
  #gone({ runId }: { readonly runId: string }, asking: GatewayError | undefined): void {
    this.#outgoing.remove(runId)
    this.#became({ asking })
  }

  #became(problems: Problems): void {
    this.#problems = { ...this.#problems, ...problems }
    this.#flush()
  }

  #flush(): void {
    this.#callOffFlush?.()
    this.#callOffFlush = undefined
    const next = this.#compose()
    if (isSameSnapshot(this.#snapshot, next)) return
    this.#snapshot = next
    callEach(this.#listeners.keys())
    this.#options.onUpdate?.(this)
  }

  #compose(): ThreadSnapshot {
    const { reading, asking, running } = this.#problems
    this.#facts.settle(Math.max(0, ...this.#listeners.values()))
    const { events, background, memories } = this.#facts
    return {
      threadId: this.#isDraft ? undefined : this.threadId,
      messages: this.#list.of(this.#older.messages, this.#live, this.#outgoing.messages),
      events,
      status: this.#status,
      run: this.#run(),
      error: reading ?? asking ?? running,
      connection: this.#options.client.connection.state,
      resumed: this.#resumption.current,
      hasMore: this.#older.hasMore,
      background,
      memories,
    }
  }

  #run(): ThreadSnapshot['run'] {
    const id = this.#activeRunId
    if (id === undefined) return undefined
    const agent = this.#facts.agentOf(id) ?? ''
    const { run } = this.#snapshot
    return run?.id === id && run.agent === agent ? run : { id, agent }
  }

  get #status(): ThreadStatus {
    const { reading, asking, running } = this.#problems
    if (reading) return 'error'
    if (this.#activeRunId !== undefined || this.#outgoing.messages.length > 0) return 'running'
    if (asking ?? running) return 'error'
    return this.#isLoaded ? 'idle' : 'loading'
  }
}
