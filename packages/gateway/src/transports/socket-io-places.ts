import { GatewayError } from '@turnpike/protocol'
import type { Socket } from 'socket.io'
import type { Gateway } from '../gateway.ts'
import { measure } from './payload-measure.ts'

type EngineConnection = Socket['conn']
/** By the name of the namespace. */
type Places = Map<string, Place>

/** What a socket has of the gateway's places while it is being let in; then it counts as a connection. */
interface Place {
  readonly socket: Socket
  readonly release: () => void
  isAsking: boolean
}

/** Of the sockets of each connection that are in a namespace, or ask to join it. */
const placesOf = new WeakMap<EngineConnection, Places>()

/**
 * Takes a place for a socket while something decides whether it may join, so that those who wait are counted with those
 * who are in. It is kept until the socket is served, is refused, or is gone.
 *
 * @throws GatewayError `payload-too-large` | `rate-limited` | `too-many-connections` | `draining`, and as `decide` does
 */
export async function inPlace(gateway: Gateway, socket: Socket, decide: () => Promise<void>): Promise<void> {
  const { connectBytes } = gateway.limits
  // It is kept for as long as the socket is.
  if (measure(socket.handshake.auth).bytes > connectBytes) {
    throw new GatewayError('payload-too-large', `The "auth" of a connect has at most ${connectBytes} bytes.`)
  }
  const place = takePlace(gateway, socket)
  try {
    await decide()
  } catch (error) {
    leave(socket)
    throw error
  } finally {
    place.isAsking = false
  }
}

/** Says that a socket counts as a connection from now on. */
export function settled(socket: Socket): void {
  placesOf.get(socket.conn)?.get(socket.nsp.name)?.release()
  socket.once('disconnect', () => leave(socket))
}

function takePlace(gateway: Gateway, socket: Socket): Place {
  const { conn, nsp } = socket
  if (conn.readyState !== 'open') throw new GatewayError('connection-closed', 'The connection is closed.')
  const places = placesOf.get(conn) ?? newPlaces(conn)
  const before = places.get(nsp.name)
  if (before?.isAsking || before?.socket.connected) {
    throw new GatewayError('rate-limited', 'This connection has asked to join the namespace already.')
  }
  // Another middleware has refused that one.
  if (before) leave(before.socket)
  const { namespaces } = gateway.limits
  if (places.size >= namespaces) {
    throw new GatewayError('too-many-connections', `A connection may be in ${namespaces} namespaces.`)
  }
  const place = { socket, release: gateway.reserve(), isAsking: true }
  places.set(nsp.name, place)
  return place
}

function newPlaces(connection: EngineConnection): Places {
  const places: Places = new Map()
  placesOf.set(connection, places)
  connection.once('close', () => {
    for (const { socket } of places.values()) leave(socket)
  })
  return places
}

function leave(socket: Socket): void {
  const places = placesOf.get(socket.conn)
  const place = places?.get(socket.nsp.name)
  if (place?.socket !== socket) return
  place.release()
  places?.delete(socket.nsp.name)
}
