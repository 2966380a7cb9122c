import {
  type AgentServer,
  type AgentServerOptions,
  type Identity,
  type ServedAgents,
  createServer,
} from '@turnpike/gateway'
import { scriptedAgent } from '@turnpike/testkit'

export type AgentServerConfig = NonNullable<AgentServerOptions['config']>

export const echo = scriptedAgent('echo', ['hello'])

export interface ServedAgentServer extends AgentServer, AsyncDisposable {
  readonly url: string
}

/** A server on a free port, that stops with its test. */
export async function serveAgents(
  config: AgentServerConfig = {},
  agents: ServedAgents = { echo },
): Promise<ServedAgentServer> {
  const server = await createServer(agents, { framework: 'hono', config: { port: 0, ...config } })
  const url = await server.start()
  return Object.assign(server, {
    url,
    [Symbol.asyncDispose]: () => server.stop({ graceMs: 0, windowMs: 0 }),
  })
}

/** Tokens are names; "nobody" is refused. */
export async function tokensAreNames(token: string): Promise<Identity | null> {
  return token === 'nobody' ? null : { id: token }
}

export function bearer(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` }
}

export function post(url: string, body: unknown): Promise<Response> {
  return fetch(url, { method: 'POST', body: JSON.stringify(body) })
}
