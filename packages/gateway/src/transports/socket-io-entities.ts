import { threadStreamEvents } from '@turnpike/protocol/thread-stream'
import type { Server, Socket } from 'socket.io'
import { EntityConnection } from './entity-connection.ts'
import type { EntityPeer } from '../entities/entity.ts'
import type { Gateway } from '../gateway.ts'
import { holdEarlyPackets } from './early-packets.ts'
import { engineWriter } from './engine-writer.ts'
import { admittedBy, guardNamespace, presentedBy } from './socket-io-guard.ts'
import { serveSocket } from './socket-io.ts'

const NAMESPACE = '/connections'

const served = new WeakSet<Server>()

/**
 * Serves those who bring tools, in the namespace `/connections` of a Socket.IO server; once, however often it is called.
 *
 * They are let in as everybody is. Where nobody has to authenticate, `auth.entity` is what an entity is called.
 */
export function serveEntities(gateway: Gateway, io: Server): void {
  if (served.has(io)) return
  served.add(io)
  holdEarlyPackets(io, gateway.limits, (name) => name === NAMESPACE)
  const namespace = io.of(NAMESPACE)
  guardNamespace(namespace, gateway)
  namespace.on('connection', (socket) => serveEntity(gateway, socket))
}

function serveEntity(gateway: Gateway, socket: Socket): void {
  const peer: EntityPeer = {
    get bufferedBytes() {
      return engineWriter(socket.conn).bufferedBytes
    },
    send: (name, payload) => void socket.emit(name, payload),
    close: (error) => connection.goodbye(error),
  }
  const { entity: claimed } = socket.handshake.auth
  const entity = new EntityConnection({ gateway, peer, claimed, connectionId: socket.id })
  const admitted = admittedBy(socket)
  const presented = admitted ? undefined : presentedBy(gateway, socket)
  const { commands } = entity
  const connection = serveSocket(gateway, socket, {
    dialect: threadStreamEvents,
    admitted,
    presented,
    commands,
    onEnd: () => entity.leave(),
  })
}
