import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import { threadStream } from '@turnpike/protocol/thread-stream'
import type { Connection } from '../connection.ts'
import { EntityConnection } from '../entity-connection.ts'
import type { EntityPeer } from '../entity.ts'
import type { Gateway } from '../gateway.ts'
import { type Attachment, type Link, bytesOf } from '../link.ts'
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
    accept: (link, request) => new EntityLink(gateway, link, request).attachment,
  })
}

/** The link of an entity: its end, however it comes, is the end of the entity's tools. */
class EntityLink implements Link {
  readonly framing: Link['framing']
  readonly attachment: Attachment
  readonly #link: Link
  readonly #entity: EntityConnection
  readonly #connection: Connection

  constructor(gateway: Gateway, link: Link, request: IncomingMessage) {
    this.framing = link.framing
    this.#link = link
    const peer = peerOn(link, (error) => this.#connection.goodbye(error))
    const claimed = entityIn(request.url)
    this.#entity = new EntityConnection({ gateway, peer, claimed, connectionId: randomUUID() })
    const presented = gateway.admission.presentedWith(request)
    const { commands } = this.#entity
    this.#connection = gateway.accept(this, threadStream, { presented, commands })
    this.attachment = this.#watched(this.#connection)
  }

  get bufferedBytes(): number {
    return this.#link.bufferedBytes
  }

  write(bytes: Uint8Array): void {
    this.#link.write(bytes)
  }

  pause(paused: boolean): void {
    this.#link.pause(paused)
  }

  close(code: number, reason: string): void {
    this.#entity.leave()
    this.#link.close(code, reason)
  }

  #watched(connection: Connection): Attachment {
    return {
      receive: (text) => connection.receive(text),
      request: (incoming) => connection.request(incoming),
      malformed: (reason) => connection.malformed(reason),
      get isAdmitted() {
        return connection.isAdmitted
      },
      bytesRead: (count) => connection.bytesRead(count),
      drained: () => connection.drained(),
      closed: () => {
        this.#entity.leave()
        connection.closed()
      },
    }
  }
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
