import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import { threadStream } from '@turnpike/protocol/thread-stream'
import type { Connection } from '../connections/connection.ts'
import { EntityConnection } from './entity-connection.ts'
import type { EntityPeer } from '../entities/entity.ts'
import type { Gateway } from '../gateway.ts'
import { type Link, bytesOf } from '../links/link.ts'
import { attachWebSocket } from './websocket.ts'

/**
 * Serves those who bring tools, over WebSocket at `/connections`; returns what takes it off again.
 *
 * Frames are those of `/stream`: `{ id, command, payload }`, and answers with the same id. Calls come unasked, told by
 * their `type`. Where nobody has to authenticate, `?entity=` is what the entity is called.
 */
export function attachEntities(
  server: Server,
  gateway: Gateway,
  { path = '/connections' }: { readonly path?: string } = {},
): () => void {
  return attachWebSocket(server, gateway, {
    path,
    dialect: threadStream,
    subprotocol: 'turnpike.v1',
    accept: (link, request) => serveEntity(gateway, link, request),
  })
}

/** The end of the link, however it comes, is the end of the entity's tools. */
function serveEntity(gateway: Gateway, link: Link, request: IncomingMessage): Connection {
  const peer = peerOn(link, (error) => connection.goodbye(error))
  const claimed = entityIn(request.url)
  const entity = new EntityConnection({ gateway, peer, claimed, connectionId: randomUUID() })
  const connection = gateway.accept(link, threadStream, {
    presented: gateway.admission.presentedWith(request),
    commands: entity.commands,
    onEnd: () => entity.leave(),
  })
  return connection
}

function peerOn(link: Link, close: EntityPeer['close']): EntityPeer {
  return {
    get bufferedBytes() {
      return link.bufferedBytes
    },
    send: (name, payload) =>
      link.write(bytesOf(link.framing, [{ name, json: JSON.stringify({ type: name, ...payload }) }])),
    close,
  }
}

function entityIn(url = ''): string | undefined {
  const mark = url.indexOf('?')
  return mark < 0 ? undefined : (new URLSearchParams(url.slice(mark)).get('entity') ?? undefined)
}
