import type { Limits } from '@turnpike/protocol'
import type { Namespace, Socket } from 'socket.io'
import type { Attachment, Framing, Link } from '../links/link.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import { type EngineWriter, type Waiter, engineWriter } from './engine-writer.ts'
import { headOf, packetsIn, socketIoFraming } from './socket-io-framing.ts'

/** Close codes that say: do not come back like this. */
const FINAL = { from: 4_400, to: 4_499 }
/** A packet of Socket.IO that is an event. */
const EVENT = 2

export interface SocketIoLinkOptions {
  readonly wheel: TimerWheel
  readonly limits: Pick<Limits, 'earlyMs'>
}

const framings = new WeakMap<Namespace, Framing>()

/** One socket of one namespace, as the gateway sees it. Several share a connection, and what it buffers. */
export class SocketIoLink implements Link, Waiter {
  readonly framing: Framing
  readonly #socket: Socket
  readonly #writer: EngineWriter
  readonly #options: SocketIoLinkOptions
  readonly #isPlain: boolean
  #attachment: Attachment | undefined

  constructor(socket: Socket, options: SocketIoLinkOptions) {
    this.#socket = socket
    this.#options = options
    this.#writer = engineWriter(socket.conn)
    this.framing = framingOf(socket.nsp)
    this.#isPlain = speaksPlain(socket)
  }

  get bufferedBytes(): number {
    return this.#writer.bufferedBytes
  }

  write(frames: Uint8Array): void {
    if (!this.#socket.connected) return
    if (this.#isPlain) this.#writer.write(frames)
    else this.#encode(frames)
  }

  pause(paused: boolean): void {
    this.#writer.pause(this, paused)
  }

  /**
   * Who is to stay away is disconnected, which a stock client takes as final. For anybody else the connection is closed,
   * and a stock client comes back by itself; a turn later, so that its other namespaces can be told, too.
   */
  close(code: number): void {
    this.pause(false)
    if (code >= FINAL.from && code <= FINAL.to) this.#socket.disconnect()
    else setImmediate(() => this.#socket.conn.close())
  }

  attach(attachment: Attachment): void {
    this.#attachment = attachment
    this.#writer.join(this)
    const left = (): void => {
      this.#writer.leave(this)
      attachment.closed()
      this.#leaveEmpty()
    }
    if (this.#socket.connected) this.#socket.on('disconnect', left)
    else queueMicrotask(left)
  }

  /** A stock client closes a connection that it has no more use for. Any other one is not kept by who left. */
  #leaveEmpty(): void {
    const { client, conn } = this.#socket
    const { wheel, limits } = this.#options
    if (conn.readyState !== 'open') return
    wheel.schedule(limits.earlyMs, () => {
      if (isEmpty(client)) conn.close()
    })
  }

  readonly onDrain = (): void => this.#attachment?.drained()

  /** For a server with a parser of its own. */
  #encode(frames: Uint8Array): void {
    const { nsp } = this.#socket
    for (const packet of packetsIn(frames)) {
      const data: unknown = JSON.parse(packet.slice(headOf(nsp.name).length))
      const encoded = nsp.server.encoder.encode({ type: EVENT, nsp: nsp.name, data })
      for (const part of encoded) this.#writer.writePacket(part)
    }
  }
}

/** Whether a connection is in no namespace at all; the published types keep that to themselves. */
function isEmpty(client: Socket['client']): boolean {
  const { sockets } = client as unknown as { readonly sockets?: ReadonlyMap<string, Socket> }
  return sockets?.size === 0
}

function framingOf(namespace: Namespace): Framing {
  let framing = framings.get(namespace)
  if (!framing) {
    framing = socketIoFraming(namespace.name)
    framings.set(namespace, framing)
  }
  return framing
}

/** Whether the server's packets are the default ones; a user may have given it another parser. */
function speaksPlain(socket: Socket): boolean {
  const { name, server } = socket.nsp
  const [packet] = server.encoder.encode({ type: EVENT, nsp: name, data: ['event', { n: 1 }] })
  return packet === `${headOf(name)}["event",{"n":1}]`
}
