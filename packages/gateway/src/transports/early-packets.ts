import type { Limits } from '@turnpike/protocol'
import type { Server, Socket } from 'socket.io'

type EngineConnection = Socket['conn']
type Deliver = (packet: Packet) => void
/** Text, or the binary attachment of a text before it. */
type Packet = string | Buffer

/** The kinds of packets of Socket.IO that this has to know. */
const CONNECT = '0'
const CONNECT_ERROR = '4'
const HEAD = /^(\d)(?:(\d{1,4})-)?(\/[^,]{0,1024})?/

const held = new WeakSet<object>()

/**
 * Holds what clients send behind a connect until it is answered, in order, bounded by the limits of early frames.
 *
 * Socket.IO's own clients wait for the answer. It closes the connection of one that does not, and how long an answer
 * takes is up to the authenticator. Called when the server has its engine; a server without one has no early packets held.
 */
export function holdEarlyPackets(io: Server, limits: Pick<Limits, 'earlyFrames' | 'earlyBytes'>): void {
  const engine: Server['engine'] | undefined = io.engine
  if (!engine || held.has(engine)) return
  held.add(engine)
  engine.on('connection', (connection: EngineConnection) => {
    // Behind the server's own handler, which has put its listener there by now.
    const deliver = connection.listeners('data').at(-1) as Deliver | undefined
    if (!deliver) return
    const early = new EarlyPackets({ deliver, limits, overflow: () => connection.close() })
    connection.off('data', deliver)
    connection.on('data', (packet: Packet) => early.take(packet))
    connection.on('packetCreate', ({ data }: { data?: unknown }) => early.sent(data))
  })
}

interface EarlyPacketsOptions {
  readonly deliver: Deliver
  readonly limits: Pick<Limits, 'earlyFrames' | 'earlyBytes'>
  readonly overflow: () => void
}

/** The packets of one connection: those to a namespace that is being joined wait, all others pass. */
export class EarlyPackets {
  readonly #options: EarlyPacketsOptions
  /** What waits, by the namespace that is being joined. */
  readonly #waiting = new Map<string, Packet[]>()
  #count = 0
  #bytes = 0
  /** Attachments that have to follow before any other packet, and where their text went. */
  #attachments = 0
  #attachedTo = ''

  constructor(options: EarlyPacketsOptions) {
    this.#options = options
  }

  /** A packet came from the client. */
  take(packet: Packet): void {
    if (typeof packet !== 'string') {
      this.#attachments--
      return this.#pass(this.#attachedTo, packet)
    }
    const { type, namespace, attachments } = headOf(packet)
    this.#attachments = attachments
    this.#attachedTo = namespace
    if (type !== CONNECT) return this.#pass(namespace, packet)
    if (!this.#waiting.has(namespace)) this.#waiting.set(namespace, [])
    this.#options.deliver(packet)
  }

  /** A packet goes to the client: perhaps the answer to a connect. */
  sent(packet: unknown): void {
    if (typeof packet !== 'string' || this.#waiting.size === 0) return
    const { type, namespace } = headOf(packet)
    if (type === CONNECT) queueMicrotask(() => this.#release(namespace))
    if (type === CONNECT_ERROR) this.#forget(namespace)
  }

  #pass(namespace: string, packet: Packet): void {
    const waiting = this.#waiting.get(namespace)
    if (!waiting) return this.#options.deliver(packet)
    waiting.push(packet)
    this.#count++
    this.#bytes += packet.length
    const { earlyFrames, earlyBytes } = this.#options.limits
    if (this.#count > earlyFrames || this.#bytes > earlyBytes) this.#options.overflow()
  }

  /** Socket.IO has joined the namespace by now. */
  #release(namespace: string): void {
    // Nothing may come between an event that is under way and its attachments.
    if (this.#attachments > 0 && this.#attachedTo !== namespace) {
      return void setImmediate(() => this.#release(namespace))
    }
    for (const packet of this.#forget(namespace)) this.#options.deliver(packet)
  }

  #forget(namespace: string): readonly Packet[] {
    const packets = this.#waiting.get(namespace) ?? []
    this.#waiting.delete(namespace)
    this.#count -= packets.length
    for (const { length } of packets) this.#bytes -= length
    return packets
  }
}

function headOf(packet: string): { type: string; namespace: string; attachments: number } {
  const [, type = '', attachments = '0', namespace = '/'] = HEAD.exec(packet) ?? []
  return { type, namespace, attachments: Number(attachments) }
}
