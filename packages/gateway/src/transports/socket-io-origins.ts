import { GatewayError } from '@turnpike/protocol'
import type { Server, Socket } from 'socket.io'
import type { Gateway } from '../gateway.ts'

/** What a `cors` option may say of origins. */
type Rule = boolean | string | RegExp | readonly (boolean | string | RegExp)[] | Custom
type Custom = (origin: string | undefined, decide: (error: Error | null, allow?: Rule) => void) => void

const ours = new WeakSet<Server>()

/** Marks a server that we have made: pages come from where the gateway allows, and from nowhere else. */
export function obeysGateway(io: Server): void {
  ours.add(io)
}

/**
 * Decides whether the page that a socket is of may connect.
 *
 * On somebody's own server it may where that server's `cors` would let it poll, and from the server's own origin: browsers
 * ask nobody before they open a WebSocket. Origins that the gateway allows are in as well.
 *
 * @throws GatewayError `origin-not-allowed`
 */
export async function assertOrigin(gateway: Gateway, socket: Socket): Promise<void> {
  const io = socket.nsp.server
  if (isScripted(socket.handshake.query)) {
    throw new GatewayError('origin-not-allowed', 'JSONP is not served: it tells of no origin.')
  }
  const { origin, host } = socket.request.headers
  if (!ours.has(io) && (origin === undefined || isPageOf(origin, host))) return
  if (!ours.has(io) && (await isAllowedBy(io, socket, origin))) return
  gateway.admission.assertOrigin(socket.request.headers)
}

/** Whether polling is asked for as a script, which any page may load. */
export function isScripted(query: object): boolean {
  return 'j' in query
}

function isPageOf(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host
}

async function isAllowedBy(io: Server, socket: Socket, origin: string | undefined): Promise<boolean> {
  const { cors } = io._opts
  if (cors === undefined) return false
  try {
    const options =
      typeof cors === 'function'
        ? await new Promise<{ origin?: unknown } | undefined>((resolve, reject) => {
            cors(socket.request as never, (error, given) => (error ? reject(error) : resolve(given)))
          })
        : cors
    // What says nothing of origins lets all of them in.
    return await allows((options?.origin ?? '*') as Rule, origin)
  } catch (cause) {
    throw new GatewayError('origin-not-allowed', 'This origin could not be looked at.', { cause })
  }
}

async function allows(rule: Rule, origin: string | undefined): Promise<boolean> {
  if (typeof rule === 'function') {
    const decided = await new Promise<Rule>((resolve, reject) => {
      rule(origin, (error, allow = false) => (error ? reject(error) : resolve(allow)))
    })
    return typeof decided !== 'function' && allows(decided, origin)
  }
  if (typeof rule === 'boolean') return rule
  if (typeof rule === 'string') return rule === '*' || rule === origin
  if (rule instanceof RegExp) return origin !== undefined && rule.test(origin)
  for (const each of rule) if (await allows(each, origin)) return true
  return false
}
