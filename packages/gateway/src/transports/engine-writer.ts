import type { Socket as NetSocket } from 'node:net'
import type { Socket as SocketIoSocket } from 'socket.io'
import type { WebSocket } from 'ws'
import { packetsIn } from './socket-io-framing.ts'

/** A connection of Engine.IO, as Socket.IO shows it. */
type EngineConnection = SocketIoSocket['conn']

/** What is used of a connection beyond its published types; checked where it is used. */
interface Inside {
  readonly writeBuffer: readonly Packet[]
  readonly transport: {
    readonly name: string
    readonly socket?: Partial<WebSocket> & { _socket?: NetSocket }
  }
}

interface Packet {
  readonly data?: string | { readonly byteLength: number }
}

/** Somebody who writes to a connection and waits for it to be taken. */
export interface Waiter {
  readonly onDrain: () => void
}

const writers = new WeakMap<EngineConnection, EngineWriter>()

/** The one writer of a connection; its namespaces share it. */
export function engineWriter(connection: EngineConnection): EngineWriter {
  let writer = writers.get(connection)
  if (!writer) {
    writer = new EngineWriter(connection)
    writers.set(connection, writer)
  }
  return writer
}

/**
 * Writes frames to a connection of Engine.IO, past the engine where that keeps the order.
 *
 * What the engine hands to its WebSocket is on the socket at once, unless it is compressed. So while nothing waits in
 * the engine's own buffer, whole frames may follow there directly: one write for many events. Otherwise, and for
 * long-polling, they are unpacked and wait in the engine's buffer behind what is there. An upgrade of the transport
 * empties that buffer first; until it is empty, everything goes through it.
 */
export class EngineWriter {
  readonly #connection: EngineConnection
  readonly #waiters = new Set<Waiter>()
  readonly #pausing = new Set<Waiter>()
  /** What waits in the engine's buffer, whoever wrote it. */
  #queuedBytes = 0
  #watched: NetSocket | undefined

  constructor(connection: EngineConnection) {
    this.#connection = connection
    for (const packet of this.#inside.writeBuffer) this.#queuedBytes += sizeOf(packet)
    connection.on('packetCreate', (packet: Packet) => (this.#queuedBytes += sizeOf(packet)))
    connection.on('flush', () => (this.#queuedBytes = 0))
    // The engine says so while it is being written to: whoever writes has to come to an end first.
    connection.on('drain', () => queueMicrotask(this.#drained))
    connection.on('upgrade', () => {
      this.#watch()
      this.#applyPause()
    })
    this.#watch()
  }

  /** What no peer has taken yet. */
  get bufferedBytes(): number {
    return this.#queuedBytes + (this.#watched?.writableLength ?? 0)
  }

  join(waiter: Waiter): void {
    this.#waiters.add(waiter)
  }

  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter)
    this.pause(waiter, false)
  }

  /** Writes whole frames. */
  write(frames: Uint8Array): void {
    if (this.#connection.readyState !== 'open') return
    const socket = this.#direct()
    if (socket) socket.write(frames)
    else for (const packet of packetsIn(frames)) this.writePacket(packet)
  }

  /** Writes one packet through the engine. */
  writePacket(packet: string | Buffer): void {
    // Compressing each answer to a poll costs more than it saves.
    this.#connection.write(packet, { compress: false })
  }

  /** Stops reading while anybody asks for it. Long-polling cannot stop: its requests are read by the engine. */
  pause(waiter: Waiter, paused: boolean): void {
    if (paused) this.#pausing.add(waiter)
    else if (!this.#pausing.delete(waiter)) return
    this.#applyPause()
  }

  get #inside(): Inside {
    return this.#connection as unknown as Inside
  }

  /** The socket to write to, where nothing would be overtaken. */
  #direct(): NetSocket | undefined {
    const { transport, writeBuffer } = this.#inside
    if (transport.name !== 'websocket' || writeBuffer.length > 0) return undefined
    const { socket } = transport
    return socket?.extensions === '' && socket.readyState === socket.OPEN ? socket._socket : undefined
  }

  #applyPause(): void {
    const { socket } = this.#inside.transport
    if (this.#pausing.size > 0) socket?.pause?.()
    else socket?.resume?.()
  }

  #watch(): void {
    this.#watched = this.#inside.transport.socket?._socket
    this.#watched?.on('drain', this.#drained)
  }

  /** Who was first has had the most: next time another one is. */
  readonly #drained = (): void => {
    const waiters = [...this.#waiters]
    for (const { onDrain } of waiters) onDrain()
    const first = waiters[0]
    if (first && this.#waiters.delete(first)) this.#waiters.add(first)
  }
}

function sizeOf({ data }: Packet): number {
  if (data === undefined) return 0
  return typeof data === 'string' ? data.length : data.byteLength
}
