import type { GatewayError, Limits } from '@turnpike/protocol'
import { LIMITS } from '@turnpike/protocol'
import type { EntityNews, EntityToolInfo } from '@turnpike/protocol/wire'
import { EntityTools } from '../src/entities/entity-tools.ts'
import type { EntityPeer } from '../src/entities/entity.ts'

/** Deadlines that a test reaches by asking for it. */
export class ManualWheel {
  #now = 0
  readonly #timers = new Set<{ readonly at: number; readonly task: () => void }>()

  get size(): number {
    return this.#timers.size
  }

  schedule(delayMs: number, task: () => void): () => void {
    const timer = { at: this.#now + delayMs, task }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  pass(ms: number): void {
    this.#now += ms
    for (const timer of [...this.#timers]) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue
      timer.task()
    }
  }
}

/** The connection of an entity, which keeps what it is told. */
export class TestPeer implements EntityPeer {
  bufferedBytes = 0
  readonly sent: { readonly name: string; readonly payload: EntityNews[keyof EntityNews] }[] = []
  closedWith: GatewayError | undefined

  readonly send: EntityPeer['send'] = (name, payload) => void this.sent.push({ name, payload })

  readonly close = (error: GatewayError): void => {
    this.closedWith = error
  }

  /** The ids of the calls it was asked to make. */
  get callIds(): string[] {
    return this.sent.filter(({ name }) => name === 'tool.call').map(({ payload }) => payload.callId)
  }

  get cancelled(): string[] {
    return this.sent.filter(({ name }) => name === 'tool.cancel').map(({ payload }) => payload.callId)
  }
}

export function toolInfo(name: string, more: Partial<EntityToolInfo> = {}): EntityToolInfo {
  return { name, description: '', parameters: {}, needsApproval: false, ...more }
}

export interface Machine {
  readonly machine: EntityTools
  readonly wheel: ManualWheel
  /** Calls a tool as a run would. */
  readonly call: (name: string, signal?: AbortSignal) => Promise<unknown>
}

export function entityMachine(limits: Partial<Limits> = {}): Machine {
  const wheel = new ManualWheel()
  const machine = new EntityTools({ limits: { ...LIMITS, ...limits }, wheel })
  return {
    machine,
    wheel,
    async call(name, signal = new AbortController().signal) {
      const [tool] = machine.list([name])
      if (!tool) throw new Error(`There is no ${name}.`)
      return tool.call({ a: 1 }, { toolCallId: 'c', runId: 'r', threadId: 't', user: 'u', signal })
    },
  }
}
