import type { Channel } from './channel.ts'
import { ForeignChannel } from './foreign-channel.ts'
import { DEFAULT_MAX_PENDING, HIGH_WATER_BYTES } from './manager-config.ts'
import type { Peer } from './peer.ts'
import type { WebSocketConnection } from './websocket-handler.ts'
import { Workload } from './workload.ts'

const peers = new WeakMap<WebSocketConnection, Peer>()
/** Of connections that no manager has. */
const strays = new WeakMap<WebSocketConnection, Workload>()

/** Notes whose connection it is: handlers get nothing but that. */
export function rememberPeer(peer: Peer): void {
  peers.set(peer.connection, peer)
}

/** How a connection talks. */
export function channelOf(connection: WebSocketConnection): Channel {
  return peers.get(connection)?.channel ?? new ForeignChannel(connection.socket)
}

/** What is worked on for a connection. */
export function workloadOf(connection: WebSocketConnection): Workload {
  const peer = peers.get(connection)
  if (peer) return peer.path.workloadOf(peer)
  let workload = strays.get(connection)
  if (!workload) {
    const channel = channelOf(connection)
    const maxPending = DEFAULT_MAX_PENDING
    workload = new Workload({
      channel,
      maxPending,
      maxKeptBytes: 0,
      highWaterBytes: HIGH_WATER_BYTES,
      onRelief: () => {},
    })
    strays.set(connection, workload)
  }
  return workload
}
