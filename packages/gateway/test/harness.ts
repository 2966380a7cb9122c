import { randomUUID } from 'node:crypto'
import { type RunInput, type Runnable, defineAgent } from '@turnpike/agents'
import {
  type Answer,
  type Answers,
  type CommandName,
  type EventOf,
  type EventType,
  type PayloadOf,
  type ThreadEvent,
  mintEventId,
} from '@turnpike/protocol'
import { threadStream } from '@turnpike/protocol/thread-stream'
import {
  type Attachment,
  type GatewayOptions,
  type Logger,
  type Store,
  type ThreadRef,
  ANONYMOUS,
  Gateway,
} from '@turnpike/gateway'
import type { EventDraft } from '@turnpike/gateway/log-port'
import { type StoredMessage } from '@turnpike/gateway/store'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { TestLink } from '@turnpike/testkit'

/** A logger that keeps what it is told. */
export function recordingLogger(): Logger & { readonly errors: object[] } {
  const errors: object[] = []
  return { errors, error: (fields) => errors.push(fields), info() {} }
}

/** A gateway with everything in memory, and no wire. */
export function testGateway(agents: readonly Runnable[], options: Partial<GatewayOptions> = {}): Gateway {
  const { limits, store = sqliteStore() } = options
  const log = new MemoryLog({ ...(limits && { limits }), numbering: store.numbering })
  return new Gateway({ log, store, agents, logger: recordingLogger(), ...options })
}

/** Asks for each word of its message, ends as parked, and tells what was decided. */
export function parkingAgent(seen: RunInput['resume'][] = []): Runnable {
  return defineAgent({
    name: 'parking',
    register: false,
    async *run({ text, resume }, { approvals }) {
      if (resume) {
        seen.push(resume)
        yield resume.decisions.map(({ toolCallId, approved }) => `${toolCallId}=${approved}`).join(' ')
        return {}
      }
      for (const word of text.split(' '))
        await approvals.open({ toolCallId: word, tool: 'send', args: { word } })
      yield 'asked. '
      return { parked: { state: { asked: text } } }
    },
  })
}

/** Asks once and waits for the answer where it is. */
export const waitingAgent = defineAgent({
  name: 'waiting',
  register: false,
  async *run(_input, { approvals }) {
    const decision = await approvals.request({ toolCallId: 'c', tool: 'send', args: {} })
    yield decision.approved ? 'approved' : `denied: ${decision.reason}`
  },
})

/** A log that keeps what was appended, beyond its window. It has no store to ask, so it answers at once. */
export class WholeLog extends MemoryLog {
  readonly events: ThreadEvent[] = []

  override append(to: ThreadRef, draft: EventDraft): number {
    const seq = super.append(to, draft)
    if (typeof seq !== 'number') throw new TypeError('This log has nothing to wait for.')
    this.events.push({ ...draft, seq, id: mintEventId(0, seq), threadId: to.id, ts: 0 } as ThreadEvent)
    return seq
  }
}

/** Puts messages into a store, as those of one run. */
export async function storeMessages(
  store: Store,
  thread: ThreadRef,
  messages: readonly StoredMessage[],
): Promise<void> {
  const [first] = messages
  if (!first) return
  const run = { thread, id: randomUUID() }
  await store.threads.open(thread, 'title')
  await store.runs.create({
    ...run,
    agent: 'agent',
    principal: ANONYMOUS,
    fingerprint: '',
    input: first.message,
    messageId: randomUUID(),
    state: 'queued',
  })
  await store.runs.update(run, {}, messages)
}

/** Names a method of a part of the store. */
type StoreCall = 'threads.open' | 'threads.has' | 'threads.messages' | 'runs.update'

/** A store in memory whose calls wait while the test holds them, and fail while it says so. */
export class HeldStore {
  readonly store: Store
  failing: StoreCall | undefined
  readonly #gates = new Map<string, PromiseWithResolvers<void>>()

  constructor(store = sqliteStore()) {
    const threads = this.#gated('threads', store.threads)
    this.store = { ...store, threads, runs: this.#gated('runs', store.runs) }
  }

  /** Holds a method from now on; the returned function lets it go. */
  hold(call: StoreCall): () => void {
    const gate = Promise.withResolvers<void>()
    this.#gates.set(call, gate)
    return () => {
      this.#gates.delete(call)
      gate.resolve()
    }
  }

  #gated<Port extends object>(name: string, port: Port): Port {
    return new Proxy(port, {
      get: (target, method) => {
        const call: unknown = Reflect.get(target, method)
        if (typeof call !== 'function') return call
        return async (...given: unknown[]): Promise<unknown> => {
          const asked = `${name}.${String(method)}`
          await this.#gates.get(asked)?.promise
          if (this.failing === asked) throw new Error('the store is down')
          return Reflect.apply(call, target, given)
        }
      },
    })
  }
}

/** A client of the native vocabulary on a link in memory. */
export class LinkClient {
  readonly link = new TestLink()
  readonly attachment: Attachment
  #lastId = 0
  readonly #waiting = new Set<() => void>()

  constructor(gateway: Gateway, token?: string) {
    this.attachment = gateway.accept(this.link, threadStream, { presented: token })
    this.link.onWrite = () => {
      for (const check of this.#waiting) check()
    }
  }

  get events(): ThreadEvent[] {
    return this.link.frames.filter(isEvent)
  }

  async request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<Answer<Name>> {
    const id = ++this.#lastId
    this.attachment.receive(JSON.stringify({ id, command, payload }))
    return this.#frame((frame): frame is Answer<Name> => 'id' in frame && frame.id === id)
  }

  /** As {@link request}, for what is expected to succeed. */
  async ask<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<Answers[Name]> {
    const answer = await this.request(command, payload)
    if (answer.ok) return answer
    throw new Error(`${command}: ${answer.error.code}`)
  }

  /** As {@link request}, for what is expected to be refused; resolves with the code. */
  async refusal<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<string> {
    const answer = await this.request(command, payload)
    return answer.ok ? 'not refused' : answer.error.code
  }

  /** The first event of that type, of that run where one is given; those received earlier count. */
  event<Type extends EventType>(type: Type, runId?: string): Promise<EventOf<Type>> {
    return this.#frame(
      (frame): frame is EventOf<Type> =>
        isEvent(frame) && frame.type === type && (runId === undefined || frame.runId === runId),
    )
  }

  /** The `finish` or `error` of a run. */
  end(runId: string): Promise<EventOf<'finish'> | EventOf<'error'>> {
    return this.#frame(
      (frame): frame is EventOf<'finish'> | EventOf<'error'> =>
        isEvent(frame) && frame.runId === runId && (frame.type === 'finish' || frame.type === 'error'),
    )
  }

  #frame<Found>(matches: (frame: object) => frame is Found & object): Promise<Found> {
    return new Promise((resolve) => {
      const check = (): void => {
        const found = (this.link.frames as object[]).find(matches)
        if (!found) return
        this.#waiting.delete(check)
        resolve(found as Found)
      }
      this.#waiting.add(check)
      check()
    })
  }
}

function isEvent(frame: unknown): frame is ThreadEvent {
  return typeof frame === 'object' && frame !== null && 'seq' in frame
}
