import type { UserBudget } from '../runs/budgets.ts'
import type { Gateway, GatewayOptions } from '../gateway.ts'
import type { Authenticate } from '../access/identity.ts'
import type { AllowedOrigins } from '../access/origins.ts'
import type { Store } from '../stores/store.ts'
import type { ChatAgents } from './chat-agents.ts'
import { gatewayOf, shareGateway } from './shared-gateway.ts'

/** The machine behind a preset, or what one is made of. */
export interface MachineOptions {
  /** Tells who a token belongs to. @default everybody is `anonymous` */
  readonly auth?: Authenticate | undefined
  /** `user` is what the runs of each user may take; all else are limits of the gateway. */
  readonly limits?: { readonly user?: UserBudget } & NonNullable<GatewayOptions['limits']>
  /** Where browsers may come from, beside this server's own pages. */
  readonly cors?: AllowedOrigins | { readonly origin: string | readonly string[] }
  /** What outlives the process. @default all is in memory */
  readonly store?: Store
  /**
   * The machine behind, which has all of the above itself.
   *
   * @default one of its own where any of these is given, else the one that presets of this process share, in memory
   */
  readonly gateway?: Gateway
}

/** A machine that a preset has a hold on. */
export interface Machine {
  readonly gateway: Gateway
  /** Drains it where nobody else has it; runs may go on for `graceMs`. */
  readonly release: (graceMs: number) => Promise<void>
}

/** @throws TypeError where both a gateway and what one is made of are given */
export function machineOf(options: MachineOptions, { source: agents }: ChatAgents): Machine {
  const { gateway: given, auth, limits, cors, store } = options
  const isBare = [auth, limits, cors, store].every((option) => option === undefined)
  if (given && !isBare) {
    throw new TypeError('Give "auth", "limits", "cors" and "store" to the gateway, or give no gateway.')
  }
  if (given) return { gateway: given, release: async () => {} }
  if (isBare) return shareGateway()
  const { user: budget, ...others } = limits ?? {}
  const gateway = gatewayOf({
    agents,
    // What the budget says of runs at once, it says alone.
    limits: { ...(budget?.concurrentRuns !== undefined && { userRuns: 0 }), ...others },
    budget,
    authenticate: auth,
    allowedOrigins: originsOf(cors),
    ...(store && { store }),
  })
  return { gateway, release: (graceMs) => gateway.drain(graceMs) }
}

function originsOf(cors: MachineOptions['cors']): AllowedOrigins | undefined {
  if (typeof cors !== 'object' || !('origin' in cors)) return cors
  const { origin } = cors
  if (typeof origin !== 'string') return origin
  return origin === '*' ? origin : [origin]
}
