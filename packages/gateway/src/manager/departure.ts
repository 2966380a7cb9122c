import type { Closing } from './closing.ts'
import type { Connections } from './connections.ts'
import { Outgoing } from './outgoing.ts'
import type { Peer } from './peer.ts'

const SERVICE_RESTART = 1_012
const KEEP_ALIVE_MS = 1_000

/** How connections are ended when a server goes. */
export interface DrainOptions {
  /** Time over which the closes are spread. @default 5000 */
  readonly windowMs?: number
  /** What clients are told to wait before they come back. @default 1000 */
  readonly retryAfterMs?: number
}

/** Closes all at once, and waits until they are gone. */
export async function closeAll(connections: Connections, closing: Closing): Promise<void> {
  const peers = connections.all()
  const gone = peers.map(untilGone)
  for (const peer of peers) connections.leave(peer, closing)
  await allOf(gone)
}

/** Tells all to go, then closes them one after the other, evenly over the window. */
export async function drain(connections: Connections, options: DrainOptions): Promise<void> {
  const { windowMs = 5_000, retryAfterMs = 1_000 } = options
  connections.draining = { retryAfterMs }
  const peers = connections.all()
  const gone = peers.map(untilGone)
  const open = connections.open.all()
  const closing = { code: SERVICE_RESTART, reason: 'draining' }
  const farewell = new Outgoing({ type: 'shutdown', retryAfterMs })
  for (const peer of peers) {
    if (peer.state === 'open' || peer.state === 'waiting') peer.channel.write(farewell)
    if (peer.state === 'waiting') connections.leave(peer, closing)
  }
  for (const [index, peer] of open.entries()) {
    const delayMs = (windowMs * index) / open.length
    if (delayMs === 0) connections.leave(peer, closing)
    else connections.wheel.schedule(delayMs, () => connections.leave(peer, closing))
  }
  await allOf(gone)
}

/** Neither other frameworks' sockets nor the wheel keep a process alive that waits for this. */
async function allOf(gone: readonly Promise<void>[]): Promise<void> {
  const keepAlive = setInterval(() => {}, KEEP_ALIVE_MS)
  try {
    await Promise.all(gone)
  } finally {
    clearInterval(keepAlive)
  }
}

function untilGone(peer: Peer): Promise<void> {
  peer.gone ??= Promise.withResolvers()
  return peer.gone.promise
}
