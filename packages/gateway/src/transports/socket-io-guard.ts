import { GatewayError } from '@turnpike/protocol'
import type { Namespace, Socket } from 'socket.io'
import type { Presented } from '../access/admission.ts'
import type { Gateway } from '../gateway.ts'
import type { Admitted } from '../access/identity.ts'
import { assertOrigin } from './socket-io-origins.ts'
import { inPlace } from './socket-io-places.ts'

/** What a refused connect is answered with: `err.data` of the client's `connect_error`. */
class ConnectError extends Error {
  readonly data: object

  constructor(error: GatewayError) {
    super(error.message)
    this.data = error.toJSON()
  }
}

const verdicts = new WeakMap<Socket, Admitted>()

/**
 * Lets a socket into a namespace only from an allowed origin, where there is room, and with a credential that is good.
 * Who is refused gets a `connect_error` whose `data` is the error.
 *
 * @param check - Throws a `GatewayError` for what else keeps a socket out.
 */
export function guardNamespace(
  namespace: Pick<Namespace, 'use'>,
  gateway: Gateway,
  check: (socket: Socket) => void = () => {},
): void {
  namespace.use((socket, next) => {
    const decide = async (): Promise<void> => {
      await assertOrigin(gateway, socket)
      const admitted = await admit(gateway, socket)
      // Only now: what there is, is nothing to tell to strangers.
      check(socket)
      verdicts.set(socket, admitted)
    }
    inPlace(gateway, socket, decide).then(
      () => next(),
      (error: unknown) => next(new ConnectError(reported(gateway, error))),
    )
  })
}

/** Who a socket is of, if the guard was asked; a server may have recovered it without asking. */
export function admittedBy(socket: Socket): Admitted | undefined {
  return verdicts.get(socket)
}

/** The credential of a connect: what its `auth` names, else what came with the request, as on every wire. */
export function presentedBy(gateway: Gateway, socket: Socket): Presented | undefined {
  const { token, ticket } = socket.handshake.auth
  if (!gateway.admission.isRequired) return undefined
  if (token !== undefined && token !== null) return typeof token === 'string' ? token : ''
  if (ticket !== undefined && ticket !== null) return { ticket: typeof ticket === 'string' ? ticket : '' }
  return gateway.admission.presentedWith(socket.request)
}

async function admit(gateway: Gateway, socket: Socket): Promise<Admitted> {
  const { admission } = gateway
  if (!admission.isRequired) return admission.admit(undefined)
  admission.connections.assertRoom()
  const leave = admission.connections.enter()
  return admission.admit(presentedBy(gateway, socket)).finally(leave)
}

function reported({ logger }: Gateway, error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  logger.error({ error }, 'a connect failed')
  return new GatewayError('internal', 'Something went wrong on the server.')
}
