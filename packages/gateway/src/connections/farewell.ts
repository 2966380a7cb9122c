import { GatewayError } from '@turnpike/protocol'
import type { Admitted } from '../access/identity.ts'
import type { Logger } from '../telemetry/logger.ts'

/** Connections told to leave in one tick, and the time between ticks: no herd comes back at once. */
const BATCH = 250
const TICK_MS = 100
/** Time that the tickets of a batch may take. */
const TICKETS_MS = 1_000

/** Something that can be told to leave. */
export interface Leaver {
  /** Who comes back and can use a ticket for that. */
  readonly admitted?: Admitted | undefined
  goodbye(error: GatewayError, ticket?: string): void
}

export interface FarewellOptions {
  readonly returnTicket: (admitted: Admitted) => Promise<string | undefined>
  readonly logger: Logger
}

/**
 * Tells everybody to come back elsewhere, a few at a time, and gives them a ticket where it can.
 *
 * A store that fails or hangs costs the tickets, not the farewell.
 */
export async function farewell(leavers: readonly Leaver[], options: FarewellOptions): Promise<void> {
  const { logger } = options
  let { returnTicket } = options
  for (let i = 0; i < leavers.length; i += BATCH) {
    if (i > 0) await delay(TICK_MS)
    const batch = leavers.slice(i, i + BATCH)
    const tickets = await ticketsFor(batch, returnTicket).catch((error: unknown) => {
      logger.error({ error }, 'there are no tickets for those who leave')
      returnTicket = () => Promise.resolve(undefined)
      return new Map<Leaver, string>()
    })
    for (const leaver of batch) {
      const retryAfterMs = Math.ceil(Math.random() * 1_000)
      const error = new GatewayError('draining', 'The server is shutting down.', { retryAfterMs })
      leaver.goodbye(error, tickets.get(leaver))
    }
  }
}

async function ticketsFor(
  leavers: readonly Leaver[],
  returnTicket: FarewellOptions['returnTicket'],
): Promise<ReadonlyMap<Leaver, string>> {
  const tickets = new Map<Leaver, string>()
  const ask = async (leaver: Leaver): Promise<void> => {
    const ticket = leaver.admitted && (await returnTicket(leaver.admitted))
    if (ticket !== undefined) tickets.set(leaver, ticket)
  }
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error('The tickets took too long.')), TICKETS_MS)
  try {
    await Promise.race([Promise.all(leavers.map(ask)), late.promise])
  } finally {
    clearTimeout(timer)
  }
  return tickets
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
