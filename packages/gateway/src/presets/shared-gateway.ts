import { type GatewayOptions, Gateway } from '../gateway.ts'
import { MemoryLog } from '../logs/memory.ts'
import { sqliteStore } from '../stores/sqlite.ts'

/** A hold on the gateway that presets share. */
export interface SharedGateway {
  readonly gateway: Gateway
  /**
   * Lets go of it. The last one to do so shuts it down, and the next one to ask gets a new one.
   *
   * @param graceMs - How long runs may still go on then. @default 0
   */
  release(graceMs?: number): Promise<void>
}

let shared: { readonly gateway: Gateway; holders: number } | undefined

/** The one gateway of this process for presets that are given none: in memory, on the process-wide registry. */
export function shareGateway(): SharedGateway {
  const held = (shared ??= { gateway: gatewayOf({}), holders: 0 })
  held.holders++
  let released: Promise<void> | undefined
  return {
    gateway: held.gateway,
    release: (graceMs = 0) => (released ??= release(held, graceMs)),
  }
}

/**
 * The same gateway for a preset that has no end of its own: it lasts as long as those that have one, and for ever where
 * there are none.
 */
export function sharedGateway(): Gateway {
  shared ??= { gateway: gatewayOf({}), holders: 0 }
  return shared.gateway
}

/**
 * Takes up what an earlier process has left: once all presets are there, since a run may need what only one of them serves.
 * Where that fails, the next command tries it again and tells why.
 */
export function openSoon(gateway: Gateway): void {
  setImmediate(() => {
    // It has been closed at once.
    if (gateway.isDraining) return
    gateway.open().catch((error: unknown) => gateway.logger.error({ error }, 'the store cannot be opened'))
  })
}

async function release(held: NonNullable<typeof shared>, graceMs: number): Promise<void> {
  if (--held.holders > 0) return
  if (shared === held) shared = undefined
  await held.gateway.drain(graceMs)
}

/** Makes a machine; log and store are in memory unless given. */
export function gatewayOf(options: Partial<GatewayOptions>): Gateway {
  const { limits = {}, store = sqliteStore() } = options
  const log = options.log ?? new MemoryLog({ limits, numbering: store.numbering })
  return new Gateway({ ...options, log, store })
}
