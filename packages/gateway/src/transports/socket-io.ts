import { GatewayError, LIMITS } from '@turnpike/protocol'
import type { DuplexDialect, Request } from '@turnpike/protocol/wire'
import type { Socket } from 'socket.io'
import type { Accepted, Gateway } from '../gateway.ts'
import type { Connection } from '../connections/connection.ts'
import { FramePace } from '../timing/frame-pace.ts'
import { type Measure, measure } from './payload-measure.ts'
import { SocketIoLink } from './socket-io-link.ts'
import { settled } from './socket-io-places.ts'

/** How a socket is served; `presented` is a credential to be checked, `admitted` who it is where that is settled. */
export interface SocketOptions extends Accepted {
  /** How events are said, and what a failure without an ack becomes: `answer(<the event's name>, { ok: false, … })`. */
  readonly dialect: DuplexDialect
  /** Requests as if they had come before all others, without an ack. */
  readonly first?: readonly Omit<Request, 'id'>[]
}

const paces = new WeakMap<Gateway, WeakMap<Socket['conn'], FramePace>>()

/**
 * Puts one Socket.IO socket of one namespace on the gateway; called in the handler of `connection`, without waiting.
 *
 * What the client sends is a request: the event's name is the command, the first argument its payload, and the answer
 * goes to the ack. Without an ack it is said in the dialect's words, if it has some.
 */
export function serveSocket(gateway: Gateway, socket: Socket, options: SocketOptions): Connection {
  const { dialect, first = [], ...accepted } = options
  const { packetBytes } = gateway.limits
  const link = new SocketIoLink(socket, gateway)
  const connection = gateway.accept(link, dialect, { ...accepted, pace: paceOf(gateway, socket.conn) })
  settled(socket)
  link.attach(connection)
  for (const { command, payload } of first) {
    connection.request({ bytes: 0, read: () => ({ id: command, command, payload }), answer: undefined })
  }
  // Not a listener for each command: names come from outside, and unknown ones are answered as well.
  socket.onAny((name: unknown, ...args: unknown[]) => {
    const ack = ackOf(args)
    const measured = measure(args.length > 1 ? args : args[0])
    // A server that somebody else has made may let more through.
    const isTooLarge = measured.bytes > packetBytes
    const [payload] = isTooLarge ? [] : args
    const read = (): Request => {
      if (isTooLarge)
        throw new GatewayError('payload-too-large', `An event has at most ${packetBytes} bytes.`)
      if (args.length > 1) throw new GatewayError('invalid-frame', 'An event has one argument: its payload.')
      assertJson(measured)
      const command = commandOf(name)
      // Only what nobody takes the answer of is told apart by its name.
      return { id: ack ? null : command, command, payload }
    }
    connection.request({ bytes: Math.min(measured.bytes, packetBytes), read, answer: ack })
  })
  return connection
}

/** All sockets of a connection share it, one after the other as well: to join again is no way to send more. */
function paceOf(gateway: Gateway, connection: Socket['conn']): FramePace {
  const known = paces.get(gateway) ?? new WeakMap<Socket['conn'], FramePace>()
  paces.set(gateway, known)
  const pace = known.get(connection) ?? new FramePace(gateway.limits)
  known.set(connection, pace)
  return pace
}

/** Takes the ack off the arguments, where there is one. JSON has no functions: it can only be Socket.IO's. */
function ackOf(args: unknown[]): ((answer: unknown) => void) | undefined {
  const last = args.at(-1)
  if (typeof last !== 'function') return undefined
  args.pop()
  return (answer) => void Reflect.apply(last, undefined, [answer])
}

function commandOf(name: unknown): string {
  if (typeof name === 'string' && name.length <= LIMITS.idChars) return name
  throw new GatewayError('unknown-command', 'There is no such command.')
}

function assertJson({ depth, isBinary }: Measure): void {
  if (isBinary) throw new GatewayError('invalid-frame', 'A payload is JSON, without binary attachments.')
  if (depth <= LIMITS.jsonDepth) return
  throw new GatewayError('too-deep', `A payload may be nested at most ${LIMITS.jsonDepth} levels deep.`)
}
