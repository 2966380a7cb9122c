import type { Runnable } from '@turnpike/agents'
import { type GatewayOptions, type Store, type ThreadRef, Gateway } from '@turnpike/gateway'
import type { EventDraft } from '@turnpike/gateway/log-port'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { recordingLogger } from './harness.ts'

/** A store in memory that acts as if it outlived its processes. */
export function durableStore(): Store {
  return { ...sqliteStore(), isDurable: true, close: () => Promise.resolve() }
}

/** A log that writes down what it was given. */
export class RecordingLog extends MemoryLog {
  readonly drafts: (EventDraft & { readonly thread: string })[] = []

  isDead = false

  override append(thread: ThreadRef, draft: EventDraft): number | Promise<number> {
    if (!this.isDead) this.drafts.push({ ...draft, thread: thread.id })
    return super.append(thread, draft)
  }
}

/** A process on a store that stays when it is gone; what it still does after that comes to nothing. */
export function processOn(
  store: Store,
  agents: readonly Runnable[],
  limits: NonNullable<GatewayOptions['limits']> = {},
): { gateway: Gateway; log: RecordingLog; die: () => void } {
  let alive = true
  const guarded = <Port extends object>(port: Port): Port =>
    new Proxy(port, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        return (...given: unknown[]): unknown =>
          alive ? Reflect.apply(member, target, given) : new Promise(() => {})
      },
    })
  const { threads, numbering, runs, approvals, tickets } = store
  const mine = {
    ...store,
    threads: guarded(threads),
    numbering: guarded(numbering),
    runs: guarded(runs),
    approvals: guarded(approvals),
    tickets: guarded(tickets),
  }
  const log = new RecordingLog({ limits, numbering: mine.numbering })
  const gateway = new Gateway({ log, store: mine, agents, limits, logger: recordingLogger() })
  const die = (): void => {
    alive = false
    log.isDead = true
  }
  return { gateway, log, die }
}
