import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Runnable, defineAgent } from '@turnpike/agents'
import { type Gateway, type ThreadRef, createAgentWebSocketHandler } from '@turnpike/gateway'
import type { EventDraft } from '@turnpike/gateway/log-port'
import { WebSocketConnectionManager } from '@turnpike/gateway/manager'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import { type Limits, type ThreadEvent, isTerminal, mintEventId, textOf } from '@turnpike/protocol'
import { type ChaosProxy, ALL_REPORTS, parseEventStream, startChaosProxy } from '@turnpike/testkit'
import {
  type ChatFrame,
  type ChatRecord,
  type ChatVerdict,
  chatAnswerWords,
  checkChat,
} from '@turnpike/testkit/chat'
import { AgentSocketClient } from './chat-history-agent-socket.ts'
import { type Chat, type Told, SocketClient } from './chat-history-socket.ts'
import { type ChatService, serveChat } from './chat-server.ts'
import { recordingLogger, testGateway } from './harness.ts'

const NOW = Date.now()

/** What a run shall say; it is the message of its chat. */
export interface Order {
  readonly pieces: number
  readonly chars: number
  /** Pieces after which it lets others have a turn. */
  readonly burst: number
  readonly ending: 'stops' | 'fails' | 'asks'
  readonly reports: boolean
}

/** A log whose clock stands still, so that what was appended can be written down as it is logged. */
class RecordedLog extends MemoryLog {
  readonly events: ThreadEvent[] = []

  constructor(options: ConstructorParameters<typeof MemoryLog>[0]) {
    super({ ...options, now: () => NOW })
  }

  override append(to: ThreadRef, draft: EventDraft): number | Promise<number> {
    const note = (seq: number): number => {
      const { type, runId, ...payload } = draft
      const envelope = { id: mintEventId(NOW, seq), seq, type, threadId: to.id, runId, ts: NOW }
      this.events.push({ ...envelope, ...payload } as ThreadEvent)
      return seq
    }
    const seq = super.append(to, draft)
    return typeof seq === 'number' ? note(seq) : seq.then(note)
  }
}

const orderedAgent: Runnable = defineAgent({
  name: 'ordered',
  register: false,
  async *run({ text }, { approvals }) {
    const { id, pieces, chars, burst, ending, reports } = JSON.parse(text) as Order & { id: string }
    for (let n = 1; n <= pieces; n++) {
      if (n % burst === 0) await nextTurn()
      yield `${id}:${n} "€🚂 `.padEnd(chars, 'x')
      if (reports && n === Math.ceil(pieces / 2)) yield* ALL_REPORTS
    }
    if (ending === 'asks') {
      const { approved } = await approvals.request({ toolCallId: 'send', tool: 'send', args: { to: id } })
      yield approved ? 'sent' : 'not sent'
    }
    if (ending === 'fails') throw new Error('as ordered')
  },
})

/** One gateway with everything in memory, and clients of chat JSON that write down what they are told. */
export class ChatWorld implements AsyncDisposable {
  readonly gateway: Gateway
  /** All chats that were asked, in order. */
  readonly chats: Chat[] = []
  readonly requests: Chat[] = []
  readonly told: Told[] = []
  readonly #log: RecordedLog
  readonly #service: ChatService
  readonly #proxy: ChaosProxy
  readonly #limits: Partial<Limits>
  readonly #sockets: SocketClient[] = []
  readonly #agentSockets: AgentSocketClient[] = []
  readonly #requests: Promise<void>[] = []
  #goOn = Promise.withResolvers<void>()

  private constructor(parts: {
    gateway: Gateway
    log: RecordedLog
    service: ChatService
    proxy: ChaosProxy
    limits: Partial<Limits>
  }) {
    this.gateway = parts.gateway
    this.#log = parts.log
    this.#service = parts.service
    this.#proxy = parts.proxy
    this.#limits = parts.limits
  }

  static async open(seed: number, limits: Partial<Limits>): Promise<ChatWorld> {
    const log = new RecordedLog({ limits })
    const gateway = testGateway([], { log, limits })
    const service = await serveChat({ ordered: orderedAgent }, { gateway })
    const manager = new WebSocketConnectionManager({ path: '/agents', logger: recordingLogger() })
    manager.registerHandler('/agents', createAgentWebSocketHandler({ ordered: orderedAgent }, { gateway }))
    manager.attach(service.server)
    const proxy = await startChaosProxy({
      target: { port: Number(new URL(service.url).port) },
      seed,
      faults: { sliceBytes: [1, 65_536] },
    })
    return new ChatWorld({ gateway, log, service, proxy, limits })
  }

  newChat(sessionId: string | undefined, order: Order): Chat {
    const chat = chatOf(`r${this.chats.length}`, sessionId, order)
    this.chats.push(chat)
    return chat
  }

  /** A chat for a wire on which the server names the run. */
  newRequest(sessionId: string | undefined, order: Order): Chat {
    const chat = chatOf(`q${this.requests.length}`, sessionId, order)
    this.requests.push(chat)
    return chat
  }

  /** @param through - What is between; a proxy takes in a lot of what its client does not take. */
  async socket(through: 'proxy' | 'nothing' = 'proxy'): Promise<SocketClient> {
    const client = new SocketClient(`ws://127.0.0.1:${this.#port(through)}/ws`, this.told)
    this.#sockets.push(client)
    await client.connect()
    return client
  }

  async agentSocket(through: 'proxy' | 'nothing' = 'proxy'): Promise<AgentSocketClient> {
    const client = new AgentSocketClient(`ws://127.0.0.1:${this.#port(through)}/agents`, this.told)
    this.#agentSockets.push(client)
    await client.connect()
    return client
  }

  /** Asks over HTTP. `late` reads what is answered only at the end. */
  request(chat: Chat, { as, late }: { as: 'json' | 'sse'; late: boolean }): void {
    this.#requests.push(this.#request(chat, { as, late }))
  }

  async cancelOverHttp(runId: string): Promise<void> {
    await (await fetch(`${this.#service.url}/v1/runs/${runId}/cancel`, { method: 'POST' })).text()
  }

  /** Resolves when no run goes on. */
  async rest(): Promise<void> {
    while (Object.values(this.gateway.runs.count()).some((count) => count > 0)) await nextTurn()
  }

  /** Lets everything come to its end, and tells what was told wrong. */
  async verdicts(): Promise<(ChatVerdict & { who: string })[]> {
    this.#goOn.resolve()
    const sockets = [...this.#sockets, ...this.#agentSockets]
    for (const socket of sockets) socket.resume()
    await Promise.all([...this.#requests, ...sockets.map((socket) => socket.answered())])
    await this.rest()
    const { events } = this.#log
    const { subscriptions } = this.#limits
    // Not the last to begin: one that is stopped while it waits ends before the one that it waits for.
    const lastRuns = new Map(events.filter(isTerminal).map(({ threadId, runId }) => [threadId, runId]))
    for (const socket of this.#sockets) await socket.leave(subscriptions === undefined ? lastRuns : undefined)
    for (const socket of this.#agentSockets) socket.leave()
    return this.told.flatMap(({ who, records: written, how, asked }) => {
      const records = asked ? withRuns(written, asked, events) : written
      const most = subscriptions === undefined ? {} : { subscriptions }
      const elsewhere = this.told.filter((other) => other.records !== written)
      const askedElsewhere = new Set(elsewhere.flatMap((other) => runsAskedIn(other.records)))
      return checkChat({ log: events, records, askedElsewhere, ...how, ...most }).map((verdict) => ({
        who,
        ...verdict,
      }))
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [...this.#sockets, ...this.#agentSockets]) socket.terminate()
    await this.#proxy.close()
    await this.gateway.drain(0)
    await this.#service[Symbol.asyncDispose]()
  }

  #port(through: 'proxy' | 'nothing'): number {
    return through === 'proxy' ? this.#proxy.port : Number(new URL(this.#service.url).port)
  }

  async #request({ runId, sessionId, message }: Chat, { as, late }: { as: 'json' | 'sse'; late: boolean }) {
    const headers = as === 'sse' ? { accept: 'text/event-stream' } : {}
    const response = await this.#service.chat('ordered', { runId, sessionId, message }, headers)
    if (late) await this.#goOn.promise
    const body = await response.text()
    const frames =
      as === 'sse' && response.ok
        ? parseEventStream([Buffer.from(body)]).map(({ data }) => JSON.parse(data) as ChatFrame)
        : [answerIn(JSON.parse(body) as object, runId)]
    const records: ChatRecord[] = [
      { type: 'asked', ask: { runId } },
      ...frames.map((frame): ChatRecord => ({ type: 'told', frame })),
    ]
    const ended = as === 'sse' ? { endsWithRun: true } : { words: chatAnswerWords }
    this.told.push({ who: `${as} ${runId}`, records, how: { left: 'answered', ...ended } })
  }
}

function runsAskedIn(records: readonly ChatRecord[]): string[] {
  return records.flatMap((record) => (record.type === 'asked' ? record.ask.runId : []))
}

function chatOf(runId: string, sessionId: string | undefined, order: Order): Chat {
  return { runId, sessionId, message: JSON.stringify({ id: runId, ...order }) }
}

/** Says of each request which run it came to: the one with its prompt. */
function withRuns(
  records: readonly ChatRecord[],
  asked: ReadonlyMap<string, string>,
  log: readonly ThreadEvent[],
): ChatRecord[] {
  const runs = new Map(
    log.flatMap((event) => (event.type === 'start' ? [[textOf(event.input), event.runId] as const] : [])),
  )
  return records.map((record) => {
    if (record.type !== 'asked') return record
    const runId = runs.get(asked.get(record.ask.runId) ?? '') ?? record.ask.runId
    return { type: 'asked', ask: { ...record.ask, runId } }
  })
}

function answerIn(body: object, runId: string): ChatFrame {
  return 'error' in body ? { type: 'error', ...(body.error as object), runId } : { type: 'answer', ...body }
}
