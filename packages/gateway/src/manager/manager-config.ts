import { type Limits, LIMITS } from '@turnpike/protocol'
import { type Logger, defaultLogger } from '../telemetry/logger.ts'
import type { AllowedOrigins } from '../access/origins.ts'
import type { WebSocketAuth } from './websocket-auth.ts'

/** What peers may spend before they are let in. */
export type EarlyLimits = Pick<Limits, 'earlyFrames' | 'earlyBytes' | 'earlyMs' | 'earlyConnections'>

export interface ConnectionManagerConfig {
  /** Served by `attach`, beside the paths of all handlers. @default '/ws' */
  readonly path?: string
  /** Above it: `too-many-connections`. @default 1000 */
  readonly maxConnections?: number
  /** In ms; 0: no pings. @default 30000 */
  readonly pingInterval?: number
  /** Time in ms that a peer has to show life after a ping. @default 10000 */
  readonly pongTimeout?: number
  /** In bytes. A longer message is closed with 1009. @default 1048576 */
  readonly maxMessageSize?: number
  /** @default nobody is asked who they are */
  readonly auth?: WebSocketAuth
  /** Connections of one user; 0 is no limit. @default 0 */
  readonly maxConnectionsPerUser?: number
  /** Whether one connection too many of a user is not let in, or takes the place of the oldest. @default 'reject' */
  readonly whenUserFull?: 'reject' | 'close-oldest'
  /** Bytes that may wait for a slow peer. Where so much waits, `send` is false. @default 1048576 */
  readonly maxBufferedBytes?: number
  /** What a broadcast does with a slow peer: it goes without, or it is closed. @default 'skip' */
  readonly whenSlow?: 'skip' | 'close'
  /**
   * Messages of one peer that are handed over a second, and twice as many at once: what comes beyond that is read later, and
   * nothing is lost. Pings and pongs are counted for themselves, and more of them are refused. 0 is no limit.
   * @default 500
   */
  readonly messagesPerSecond?: number
  /**
   * What is worked on for one peer at once: promises of its `onMessage`, requests of a message router. What it sends
   * beyond that is read later; 0 is no limit. Where reading cannot be stopped, what has to wait is kept, and refused with
   * `rate-limited` once that is more than `maxBufferedBytes`.
   * @default 100
   */
  readonly maxPending?: number
  /** Where browsers may come from beside this server's own pages. @default [] */
  readonly allowedOrigins?: AllowedOrigins
  readonly limits?: Partial<EarlyLimits>
  readonly logger?: Logger
}

/** The same with all defaults. */
export type ManagerSettings = Required<
  Omit<ConnectionManagerConfig, 'auth' | 'allowedOrigins' | 'limits'>
> & {
  readonly auth: WebSocketAuth
  readonly allowedOrigins: AllowedOrigins | undefined
  readonly limits: EarlyLimits
}

const { earlyFrames, earlyBytes, earlyMs, earlyConnections } = LIMITS

export const DEFAULT_MAX_PENDING = 100
/** What may wait for a peer before it is replied to by a message router. */
export const HIGH_WATER_BYTES = LIMITS.highWaterBytes

const DEFAULTS = {
  path: '/ws',
  maxConnections: 1_000,
  pingInterval: LIMITS.pingIntervalMs,
  pongTimeout: LIMITS.pongTimeoutMs,
  maxMessageSize: LIMITS.frameBytes,
  auth: { strategy: 'none' },
  maxConnectionsPerUser: 0,
  whenUserFull: 'reject',
  maxBufferedBytes: 1_048_576,
  whenSlow: 'skip',
  messagesPerSecond: 500,
  maxPending: DEFAULT_MAX_PENDING,
  allowedOrigins: undefined,
  logger: defaultLogger,
} as const

/** To the parser, more would be something else. */
const MAX_MESSAGE_BYTES = 2_147_483_647

/** @throws TypeError where the configuration cannot be */
export function settingsOf(config: ConnectionManagerConfig): ManagerSettings {
  const given = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
  const settings = { ...DEFAULTS, ...given } as Omit<ManagerSettings, 'limits'>
  const limits = { earlyFrames, earlyBytes, earlyMs, earlyConnections, ...config.limits }
  const { maxConnections, pingInterval, pongTimeout, maxConnectionsPerUser } = settings
  const { messagesPerSecond, maxPending, maxMessageSize, maxBufferedBytes } = settings
  const numbers = { maxConnections, pingInterval, pongTimeout, maxConnectionsPerUser, messagesPerSecond }
  assertNumbers({ ...numbers, maxPending, ...limits }, 0)
  // The wheel turns for ever for what never comes.
  assertNumbers({ pingInterval, pongTimeout, earlyMs: limits.earlyMs }, 0, Number.MAX_SAFE_INTEGER)
  // To the parser, 0 would be no limit at all.
  assertNumbers({ maxMessageSize, maxBufferedBytes }, 1)
  assertNumbers({ maxMessageSize }, 1, MAX_MESSAGE_BYTES)
  assertWords(settings)
  return { ...settings, limits }
}

function assertNumbers(fields: Readonly<Record<string, unknown>>, min: number, max = Infinity): void {
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'number' && value >= min && value <= max) continue
    const range = max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`
    throw new TypeError(`"${name}" has to be a number ${range}, got ${String(value)}.`)
  }
}

function assertWords({ path, whenUserFull, whenSlow }: Omit<ManagerSettings, 'limits'>): void {
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw new TypeError(`"path" has to begin with "/", got ${String(path)}.`)
  }
  assertOneOf({ whenUserFull }, ['reject', 'close-oldest'])
  assertOneOf({ whenSlow }, ['skip', 'close'])
}

function assertOneOf(fields: Readonly<Record<string, string>>, words: readonly string[]): void {
  for (const [name, value] of Object.entries(fields)) {
    if (words.includes(value)) continue
    throw new TypeError(`"${name}" has to be one of ${words.join(', ')}, got ${String(value)}.`)
  }
}
