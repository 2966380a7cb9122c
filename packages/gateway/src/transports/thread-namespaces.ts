import { GatewayError } from '@turnpike/protocol'
import { threadStreamEvents } from '@turnpike/protocol/thread-stream'
import type { Request } from '@turnpike/protocol/wire'
import type { Namespace, Server, Socket } from 'socket.io'
import { type Commands, canonicalCommands } from '../connections/connection.ts'
import type { Gateway } from '../gateway.ts'
import { holdEarlyPackets } from './early-packets.ts'
import { admittedBy, guardNamespace, presentedBy } from './socket-io-guard.ts'
import { serveSocket } from './socket-io.ts'

const AGENT_NAMESPACE = /^\/agents\/([^/]+)\/chat\/stream$/
/** A name that no agent has. */
const NO_AGENT = ''

/** Serves the namespaces of wire 3 that people talk to agents in: `/`, and one for each agent. */
export function serveThreadNamespaces(gateway: Gateway, io: Server): void {
  holdEarlyPackets(io, gateway.limits, (name) => name === '/' || agentOf(name) !== undefined)
  serve(io.of('/'), gateway)
  const agents = io.of((name, _auth, decide) => {
    if (agentOf(name) === undefined) return decide(null, false)
    const settings = io._opts
    const { cleanupEmptyChildNamespaces: isCleaned = false } = settings
    // To refuse a name with a reason its namespace is made; it must not stay, whatever becomes of those of the app.
    settings.cleanupEmptyChildNamespaces = true
    decide(null, true)
    settings.cleanupEmptyChildNamespaces = isCleaned
  })
  serve(agents, gateway)
}

function serve(namespace: Namespace, gateway: Gateway): void {
  guardNamespace(namespace, gateway, ({ nsp }) => {
    const agent = agentOf(nsp.name)
    if (agent === undefined || gateway.agents.get(agent)) return
    throw new GatewayError('unknown-agent', 'There is no agent of that name.')
  })
  namespace.on('connection', (socket) => {
    const admitted = admittedBy(socket)
    const presented = admitted ? undefined : presentedBy(gateway, socket)
    const commands = commandsFor(agentOf(socket.nsp.name))
    const first = subscriptionAtConnect(socket)
    serveSocket(gateway, socket, { dialect: threadStreamEvents, admitted, presented, commands, first })
  })
}

/** The agent that a namespace is of; none for `/`. */
function agentOf(namespace: string): string | undefined {
  const name = AGENT_NAMESPACE.exec(namespace)?.[1]
  if (name === undefined) return undefined
  try {
    const agent = decodeURIComponent(name)
    // Each spelling would be a namespace of its own, with its own copy of all that is told there.
    return encodeURIComponent(agent) === name ? agent : NO_AGENT
  } catch {
    return NO_AGENT
  }
}

/** What a handshake asks to follow, as a command that nobody takes the answer of. */
function subscriptionAtConnect({ handshake }: Socket): readonly Omit<Request, 'id'>[] {
  const { threadId, lastEventId, reasoning } = handshake.auth
  if (threadId === undefined || threadId === null) return []
  return [{ command: 'thread.subscribe', payload: { threadId, lastEventId, reasoning } }]
}

/** The commands of the protocol, those of an agent's namespace to that agent alone. */
function commandsFor(agent: string | undefined): Commands {
  return async (request, session) => {
    const { command, payload } = request
    const asked = agent === undefined || command !== 'thread.send' ? payload : toAgent(payload, agent)
    const { answer, ...rest } = await canonicalCommands({ ...request, payload: asked }, session)
    // Where nobody takes the answer it may be told as a reset, which says of which thread.
    return { answer: 'recovered' in answer ? { ...answer, ...threadOf(payload) } : answer, ...rest }
  }
}

function toAgent(payload: unknown, agent: string): unknown {
  if (typeof payload !== 'object' || payload === null) return payload
  if ('agent' in payload && payload.agent !== undefined && payload.agent !== agent) {
    throw new GatewayError('invalid-payload', `This namespace is of the agent "${agent}" alone.`)
  }
  return { ...payload, agent }
}

function threadOf(payload: unknown): { readonly threadId?: unknown } {
  return typeof payload === 'object' && payload !== null && 'threadId' in payload
    ? { threadId: payload.threadId }
    : {}
}
