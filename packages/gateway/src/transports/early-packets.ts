import type { Limits } from '@turnpike/protocol'
import type { Server, Socket } from 'socket.io'
import { TokenBucket } from '../timing/token-bucket.ts'

type EngineConnection = Socket['conn']
type Engine = Server['engine']
type Deliver = (packet: Packet | undefined) => void
/** Text, or the binary attachment of a text before it. A message of Engine.IO may have nothing in it at all. */
type Packet = string | Buffer
type EarlyLimits = Pick<Limits, 'earlyFrames' | 'earlyBytes' | 'joinsPerMinute'>
/** Whether a namespace is served here. Those of the app itself are left as they are. */
type IsServed = (namespace: string) => boolean

/** The kinds of packets of Socket.IO that this has to know. */
const CONNECT = 0
const CONNECT_ERROR = 4
const BINARY = new Set([5, 6])
const HEAD = /^[^](?:(\d{1,4})-)?(\/[^,]{0,1024})?/
/** The handler of Socket.IO among those that an app may have put beside it. */
const DELIVER = 'bound ondata'
const MINUTE_SECONDS = 60

const held = new WeakMap<Engine, Set<IsServed>>()

/**
 * Holds what clients send behind a connect until it is answered, in order; connects and what is held are bounded by the
 * limits of early frames.
 *
 * Socket.IO's own clients wait for the answer. It closes the connection of one that does not, and how long an answer
 * takes is up to the authenticator.
 */
export function holdEarlyPackets(io: Server, limits: EarlyLimits, isServed: IsServed): void {
  const engine: Engine | undefined = io.engine
  if (engine) return holdIn(engine, limits, isServed)
  // It is put on a server later.
  const bind = io.bind.bind(io)
  io.bind = (bound: Engine) => {
    bind(bound)
    holdIn(bound, limits, isServed)
    return io
  }
}

function holdIn(engine: Engine, limits: EarlyLimits, isServed: IsServed): void {
  const served = held.get(engine)
  if (served) return void served.add(isServed)
  const all = new Set([isServed])
  held.set(engine, all)
  engine.on('connection', (connection: EngineConnection) => {
    // Behind the server's own handler, which has put its listener there by now.
    const deliver = connection.listeners('data').find(({ name }) => name === DELIVER) as Deliver | undefined
    // The client of an older version names namespaces in another way, and does not send early.
    if (!deliver || connection.protocol < 4) return
    const early = new EarlyPackets({
      deliver,
      limits,
      isServed: (namespace) => [...all].some((each) => each(namespace)),
      // With all that waits to be sent: its answers may be many.
      overflow: () => connection.close(true),
    })
    connection.off('data', deliver)
    connection.on('data', (packet?: Packet) => early.take(packet))
    connection.on('packetCreate', ({ data }: { data?: unknown }) => early.sent(data))
    connection.once('close', () => early.close())
  })
}

interface EarlyPacketsOptions {
  readonly deliver: Deliver
  readonly limits: EarlyLimits
  readonly isServed: IsServed
  readonly overflow: () => void
}

/** The packets of one connection: those to a namespace that is being joined wait, all others pass. */
export class EarlyPackets {
  readonly #options: EarlyPacketsOptions
  readonly #joins: TokenBucket
  /** What waits, by the namespace that is being joined; the bytes of its connect count as long. */
  readonly #waiting = new Map<string, { readonly packets: Packet[]; readonly connectBytes: number }>()
  /** Namespaces that are joined, and whose packets may follow. */
  readonly #due = new Set<string>()
  #count = 0
  #bytes = 0
  /** Attachments that have to follow before any other packet, and where their text went. */
  #attachments = 0
  #attachedTo = ''
  #isClosed = false

  constructor(options: EarlyPacketsOptions) {
    this.#options = options
    const { joinsPerMinute } = options.limits
    this.#joins = new TokenBucket(joinsPerMinute / MINUTE_SECONDS, joinsPerMinute)
  }

  /** A packet came from the client. */
  take(packet: Packet | undefined): void {
    if (this.#isClosed) return
    // What is in no message at all is Socket.IO's to refuse.
    if (packet === undefined) return this.#options.deliver(packet)
    if (typeof packet !== 'string') {
      this.#attachments--
      this.#pass(this.#attachedTo, packet)
      return this.#release()
    }
    const { type, namespace, attachments } = headOf(packet)
    this.#attachments = attachments
    this.#attachedTo = namespace
    if (type === CONNECT && this.#options.isServed(namespace)) this.#join(namespace, packet)
    else this.#pass(namespace, packet)
  }

  /** A packet goes to the client: perhaps the answer to a connect. */
  sent(packet: unknown): void {
    if (typeof packet !== 'string' || this.#waiting.size === 0) return
    const { type, namespace } = headOf(packet)
    if (type === CONNECT_ERROR) this.#forget(namespace)
    if (type !== CONNECT || !this.#waiting.has(namespace)) return
    this.#due.add(namespace)
    // Socket.IO has joined the namespace by then.
    queueMicrotask(() => this.#release())
  }

  /** Nothing is delivered any more. */
  close(): void {
    this.#isClosed = true
    this.#waiting.clear()
    this.#due.clear()
  }

  #join(namespace: string, packet: string): void {
    // Socket.IO would let each one in.
    if (this.#waiting.has(namespace) || !this.#joins.take()) return this.#overflow()
    this.#waiting.set(namespace, { packets: [], connectBytes: packet.length })
    if (this.#hasRoomFor(packet)) this.#options.deliver(packet)
  }

  #pass(namespace: string, packet: Packet): void {
    const waiting = this.#waiting.get(namespace)
    if (!waiting) return this.#options.deliver(packet)
    if (this.#hasRoomFor(packet)) waiting.packets.push(packet)
  }

  #hasRoomFor({ length }: Packet): boolean {
    const { earlyFrames, earlyBytes } = this.#options.limits
    this.#count++
    this.#bytes += length
    const hasRoom = this.#count <= earlyFrames && this.#bytes <= earlyBytes
    if (!hasRoom) this.#overflow()
    return hasRoom
  }

  #overflow(): void {
    this.close()
    this.#options.overflow()
  }

  /** Nothing may come between an event that is under way and its attachments. */
  get #isUnderWay(): boolean {
    return this.#attachments > 0 && !this.#waiting.has(this.#attachedTo)
  }

  #release(): void {
    for (const namespace of this.#due) {
      if (this.#isUnderWay) return
      this.#due.delete(namespace)
      for (const packet of this.#forget(namespace)) {
        if (!this.#isClosed) this.#options.deliver(packet)
      }
    }
  }

  #forget(namespace: string): readonly Packet[] {
    const waiting = this.#waiting.get(namespace)
    if (!waiting) return []
    const { packets, connectBytes } = waiting
    this.#waiting.delete(namespace)
    this.#due.delete(namespace)
    this.#count -= packets.length + 1
    this.#bytes -= connectBytes
    for (const { length } of packets) this.#bytes -= length
    return packets
  }
}

function headOf(packet: string): { type: number; namespace: string; attachments: number } {
  const [, attachments = '0', namespace = '/'] = HEAD.exec(packet) ?? []
  // As Socket.IO reads it, to which a blank or nothing at all is a connect as well.
  const type = Number(packet.charAt(0))
  return { type, namespace, attachments: BINARY.has(type) ? Number(attachments) : 0 }
}
