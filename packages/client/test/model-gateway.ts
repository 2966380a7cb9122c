import {
  type Answers,
  type CommandName,
  type EventId,
  type EventPayload,
  type Message,
  type PayloadOf,
  type ResetCause,
  type ThreadEvent,
  type ThreadReset,
  GatewayError,
  ORIGIN,
  mintEventId,
  parseEventId,
  reduce,
} from '@turnpike/protocol'

export type ModelFrame = ThreadEvent | ThreadReset

interface ModelRun {
  readonly runId: string
  readonly threadId: string
  readonly message: string
  said: number
  started?: number
  ended?: number
}

interface ModelThread {
  readonly threadId: string
  log: ThreadEvent[]
  /** Events up to here are out of the replay window; the newest one is always good to resume after. */
  floor: number
  messages: readonly Message[]
  readonly runs: ModelRun[]
}

/**
 * The gateway as PROTOCOL.md tells it, and no more: in memory, with no time of its own. A run answers "count to N" with
 * N words, one a {@link ModelGateway.step}.
 */
export class ModelGateway {
  readonly threads = new Map<string, ModelThread>()
  readonly runs = new Map<string, ModelRun>()
  readonly connections = new Set<ModelConnection>()
  /** Runs wait for the next command. */
  isPaused = false
  #ms = 1_700_000_000_000

  connect(deliver: (frame: ModelFrame) => void): ModelConnection {
    const connection = new ModelConnection(this, deliver)
    this.connections.add(connection)
    return connection
  }

  /** Lets the active run of a thread say one more thing; tells whether there was one. */
  step(threadId: string): boolean {
    const thread = this.threads.get(threadId)
    const run = thread?.runs.find(({ ended }) => ended === undefined)
    if (!thread || !run || this.isPaused) return false
    const { runId, message } = run
    const last = Number(/\d+/.exec(message)?.[0] ?? 3)
    if (run.started === undefined) this.#start(thread, run)
    else if (run.said < last) {
      const channel = run.said % 3 === 1 ? 'reasoning' : 'answer'
      this.#append(thread, { type: 'text-delta', delta: `${++run.said} `, channel }, runId)
    } else this.#finish(thread, run)
    return true
  }

  #start(thread: ModelThread, run: ModelRun): void {
    const { runId, message } = run
    const input: Message = {
      id: `in-${runId}`,
      role: 'user',
      parts: [{ type: 'text', text: message }],
      runId,
      status: 'done',
      createdAt: this.#ms,
    }
    run.started = thread.log.length + 1
    this.#append(thread, { type: 'start', agent: 'model', input, messageId: `out-${runId}` }, runId)
  }

  #finish(thread: ModelThread, run: ModelRun): void {
    const { runId, said } = run
    const words = Array.from({ length: said }, (_, index) => index)
    const text = words.flatMap((index) => (index % 3 === 1 ? [] : [`${index + 1} `])).join('')
    run.ended = thread.log.length + 1
    const usage = { inputTokens: 0, outputTokens: said }
    const finish = { type: 'finish', agent: 'model', finishReason: 'stop', text, steps: 1, usage } as const
    this.#append(thread, finish, runId)
  }

  /** Lets go of all that a thread's log may let go of. */
  expire(threadId: string): void {
    const thread = this.threads.get(threadId)
    if (!thread) return
    const active = thread.runs.find(({ started, ended }) => started !== undefined && ended === undefined)
    thread.floor = Math.max(thread.floor, (active?.started ?? thread.log.length + 1) - 1)
    for (const connection of this.connections) connection.pump(thread)
  }

  /** The server loses the newest events, and others take their place. */
  rollBack(threadId: string, count: number): void {
    const thread = this.threads.get(threadId)
    if (!thread) return
    this.#ms += 1_000
    const kept = thread.log.slice(0, Math.max(1, thread.log.length - count))
    thread.log = kept
    thread.messages = kept.reduce(reduce, [] as readonly Message[])
    for (const run of thread.runs) {
      if (run.ended !== undefined && run.ended > kept.length) delete run.ended
      if (run.started !== undefined && run.started > kept.length) delete run.started
      run.said = kept.filter(({ type, runId }) => type === 'text-delta' && runId === run.runId).length
    }
  }

  append(threadId: string, payload: object, runId: string): void {
    const thread = this.threads.get(threadId)
    if (thread) this.#append(thread, payload as EventPayload, runId)
  }

  /** @throws GatewayError */
  send(payload: PayloadOf<'thread.send'>): ModelRun {
    const { runId = 'none', threadId = 'none' } = payload
    const message = typeof payload.message === 'string' ? payload.message : JSON.stringify(payload.message)
    const known = this.runs.get(runId)
    if (known) {
      if (known.threadId === threadId && known.message === message) return known
      throw new GatewayError('run-id-conflict', 'Used.')
    }
    if (payload.agent === 'nobody') throw new GatewayError('unknown-agent', 'There is no agent of that name.')
    const run = { runId, threadId, message, said: 0 }
    const thread = this.threads.get(threadId) ?? { threadId, log: [], floor: 0, messages: [], runs: [] }
    this.threads.set(threadId, thread)
    this.runs.set(runId, run)
    thread.runs.push(run)
    if (thread.runs.every((other) => other === run || other.ended !== undefined)) this.#start(thread, run)
    return run
  }

  #append(thread: ModelThread, payload: EventPayload, runId: string): void {
    const { threadId } = thread
    const seq = thread.log.length + 1
    const ts = ++this.#ms
    const event: ThreadEvent = { id: mintEventId(ts, seq), seq, threadId, runId, ts, ...payload }
    thread.log.push(event)
    const messages = reduce(thread.messages, event)
    if (Array.isArray(messages)) thread.messages = messages
    for (const connection of this.connections) connection.pump(thread)
  }
}

interface Place {
  /** The last event that the reader got to see or was told of. */
  visible: number
  position: number
  readonly reasoning: boolean
  live: boolean
}

type Answered = { readonly answer: object; readonly begin?: () => void }

/** One connection to a {@link ModelGateway}. */
export class ModelConnection {
  readonly #gateway: ModelGateway
  readonly #deliver: (frame: ModelFrame) => void
  readonly #places = new Map<string, Place | { readonly awaits: string[]; readonly reasoning: boolean }>()

  constructor(gateway: ModelGateway, deliver: (frame: ModelFrame) => void) {
    this.#gateway = gateway
    this.#deliver = deliver
  }

  /** @throws GatewayError */
  handle<Name extends CommandName>(name: Name, payload: PayloadOf<Name>): Answered {
    if (name !== 'auth') this.#gateway.isPaused = false
    const command = { name, payload } as {
      [Each in CommandName]: { name: Each; payload: PayloadOf<Each> }
    }[CommandName]
    switch (command.name) {
      case 'thread.send':
        return this.#send(command.payload)
      case 'thread.subscribe':
        return this.#subscribe(command.payload)
      case 'thread.unsubscribe':
        this.#places.delete(command.payload.threadId)
        return { answer: {} }
      case 'run.cancel':
        return this.#cancel(command.payload.runId)
      case 'approval.resolve':
      case 'auth':
        return { answer: {} }
      default:
        return command satisfies never
    }
  }

  close(): void {
    this.#places.clear()
    this.#gateway.connections.delete(this)
  }

  /** Sends nothing of a thread while `act` goes on. */
  stall(threadId: string, act: () => void): void {
    const place = this.#places.get(threadId)
    if (!place || 'awaits' in place) return
    place.live = false
    act()
    place.live = true
    const thread = this.#gateway.threads.get(threadId)
    if (thread) this.pump(thread)
  }

  pump(thread: ModelThread): void {
    let place = this.#places.get(thread.threadId)
    if (place && 'awaits' in place) {
      const runs = place.awaits.flatMap((runId) => this.#gateway.runs.get(runId)?.started ?? [])
      if (runs.length === 0) return
      const first = Math.min(...runs) - 1
      const placed: Place = { visible: first, position: first, reasoning: place.reasoning, live: true }
      this.#places.set(thread.threadId, placed)
      place = placed
    }
    if (!place?.live) return
    if (place.position < thread.floor && place.position < thread.log.length) return this.#reset(thread, place)
    while (place.position < thread.log.length) {
      const event = thread.log[place.position]
      if (!event) return
      place.position++
      if (event.type === 'text-delta' && event.channel === 'reasoning' && !place.reasoning) continue
      const covers = event.seq - place.visible
      place.visible = event.seq
      this.#deliver(covers > 1 ? { ...event, covers } : event)
      if (this.#places.get(thread.threadId) !== place) return
    }
  }

  #send(payload: PayloadOf<'thread.send'>): Answered {
    const { runId, threadId, started } = this.#gateway.send(payload)
    const answer: Answers['thread.send'] = {
      threadId,
      runId,
      status: started === undefined ? 'queued' : 'started',
    }
    return {
      answer,
      begin: () => {
        const place = this.#places.get(threadId)
        if (place && 'awaits' in place) place.awaits.push(runId)
        if (!place) this.#places.set(threadId, { awaits: [runId], reasoning: payload.reasoning ?? false })
        const thread = this.#gateway.threads.get(threadId)
        if (thread) this.pump(thread)
      },
    }
  }

  #cancel(runId: string): Answered {
    const run = this.#gateway.runs.get(runId)
    if (!run) throw new GatewayError('unknown-run', 'There is no run of that id.')
    return { answer: { status: run.ended === undefined ? 'cancelling' : 'done' } }
  }

  #subscribe({ threadId, lastEventId, reasoning = false }: PayloadOf<'thread.subscribe'>): Answered {
    const thread = this.#gateway.threads.get(threadId)
    if (!thread || thread.log.length === 0)
      throw new GatewayError('unknown-thread', 'There is no such thread.')
    const cause = lastEventId === undefined ? undefined : causeOf(thread, parseEventId(lastEventId).id)
    const isRecovered = lastEventId !== undefined && cause === undefined
    const seq = isRecovered ? parseEventId(lastEventId).seq : thread.log.length
    const place: Place = { visible: seq, position: seq, reasoning, live: false }
    this.#places.set(threadId, place)
    const answer: Answers['thread.subscribe'] = isRecovered
      ? { recovered: true, head: parseEventId(lastEventId).id }
      : { recovered: false, ...(cause && { cause }), ...historyOf(thread, reasoning) }
    return {
      answer,
      begin: () => {
        place.live = true
        this.pump(thread)
      },
    }
  }

  #reset(thread: ModelThread, place: Place): void {
    const { threadId } = thread
    place.position = place.visible = thread.log.length
    this.#deliver({ type: 'thread.reset', threadId, cause: 'lagged', ...historyOf(thread, place.reasoning) })
  }
}

function causeOf(thread: ModelThread, id: EventId): ResetCause | undefined {
  const { seq } = parseEventId(id)
  const known = id === ORIGIN ? ORIGIN : thread.log[seq - 1]?.id
  if (seq > thread.log.length) return 'unknown'
  if (known !== id) return 'rolled-back'
  return seq < thread.floor && seq < thread.log.length ? 'expired' : undefined
}

function historyOf(
  { log, messages }: ModelThread,
  reasoning: boolean,
): { head: EventId; history: Message[] } {
  const history = messages.map((message) => ({
    ...message,
    parts: reasoning ? message.parts : message.parts.filter(({ type }) => type !== 'reasoning'),
  }))
  return { head: log.at(-1)?.id ?? ORIGIN, history }
}
