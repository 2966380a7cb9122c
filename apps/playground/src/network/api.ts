import { GatewayError } from '@turnpike/client'
import { settings } from '../settings/settings.ts'
import { network } from './network.ts'

/**
 * Asks a route of the gateway for which the client has no call.
 *
 * @throws GatewayError what the server refuses with, or that it cannot be reached
 */
export async function api<Body>(path: string, init: RequestInit = {}): Promise<Body> {
  const response = await network.fetch(path, { ...init, headers: credential() }).catch((cause: unknown) => {
    init.signal?.throwIfAborted()
    throw new GatewayError('internal', 'The server cannot be reached.', { cause })
  })
  const body: unknown = await response.json().catch(() => ({}))
  if (response.ok) return body as Body
  const { code, message } = (body as { error?: { code?: string; message?: string } }).error ?? {}
  throw GatewayError.from({
    code: code ?? (response.status === 404 ? 'unknown-route' : 'internal'),
    message: message ?? `The server answered with ${response.status}.`,
  })
}

/** The header that says who is asking. */
export function credential(): Record<string, string> {
  const { token } = settings.get()
  return token === '' ? {} : { authorization: `Bearer ${token}` }
}
