import { GatewayError } from '@turnpike/protocol'
import {
  type AgentRequest,
  agentSocketDialect,
  agentSocketRefusal,
  readAgentSocketRequest,
  runIdOf,
} from '@turnpike/protocol/agent-websocket'
import { type Request, decodeCommand } from '@turnpike/protocol/wire'
import type { Connection, Handled } from '../connection.ts'
import type { Gateway } from '../gateway.ts'
import { ConnectionLink } from '../manager/connection-link.ts'
import type { WebSocketConnection } from '../manager/websocket-handler.ts'
import type { SendSettings } from '../run-requests.ts'
import type { Session } from '../session.ts'
import type { ChatAgents } from './chat-agents.ts'
import { executeMakingRoom } from './making-room.ts'

/** Requests of a connection that can still be named, the latest ones. */
const NAMED_REQUESTS = 256

export interface AgentSocketOptions {
  readonly gateway: Gateway
  readonly agents: ChatAgents
  readonly onEnd: () => void
}

/** One client of the agent handler: any number of requests in flight, each a run. */
export class AgentSocket {
  readonly #agents: ChatAgents
  /** A session of this connection's own is called like it, for requests that name none. */
  readonly #id: string
  readonly #connection: Connection
  /** The runs of requests by what the client calls these. */
  readonly #runs = new Map<string | number, string>()
  #count = 0

  private constructor(
    connection: WebSocketConnection,
    link: ConnectionLink,
    { gateway, agents, onEnd }: AgentSocketOptions,
  ) {
    const { id, user } = connection
    this.#id = id
    this.#agents = agents
    this.#connection = gateway.accept(link, agentSocketDialect(id), {
      ...(user && { admitted: { principal: user } }),
      commands: (request, session) => this.#carryOut(request, session),
      onEnd,
    })
    link.attach(this.#connection)
  }

  /** Takes a connection; one that the gateway does not take is told so, and closed. */
  static open(connection: WebSocketConnection, options: AgentSocketOptions): AgentSocket | undefined {
    const link = new ConnectionLink(connection)
    try {
      options.gateway.assertRoom()
      return new AgentSocket(connection, link, options)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      connection.socket.send(agentSocketRefusal(error.toJSON()).json)
      link.close(error.row.close ?? 4500, error.code)
      return undefined
    }
  }

  receive(text: string): void {
    this.#connection.receive(text)
  }

  malformed(reason: string): void {
    this.#connection.malformed(reason)
  }

  closed(): void {
    this.#connection.closed()
  }

  async #carryOut({ command, payload }: Request, session: Session): Promise<Handled> {
    const asked = readAgentSocketRequest(command, payload)
    if (asked.kind === 'approve') return session.execute({ name: 'approval.resolve', payload: asked.payload })
    if (asked.kind !== 'cancel') return this.#run(asked, session)
    const runId = this.#runs.get(asked.requestId)
    if (runId === undefined) throw new GatewayError('unknown-run', 'There is no request of that id.')
    return session.execute({ name: 'run.cancel', payload: { runId } })
  }

  #run({ kind, requestId, payload, settings, toolCall }: AgentRequest, session: Session): Promise<Handled> {
    const runId = runIdOf(this.#id, { number: ++this.#count, kind, requestId })
    const send = decodeCommand('thread.send', { threadId: this.#id, ...payload, runId })
    if (send.name !== 'thread.send') throw new TypeError('A request has to come to a run.')
    if (requestId !== undefined) this.#name(requestId, runId)
    const sent: SendSettings = {
      findAgent: this.#agents.find,
      ...(settings && Object.keys(settings).length > 0 && { settings }),
      ...(toolCall && { toolCall }),
    }
    return executeMakingRoom(session, send, sent)
  }

  /** A name that is used again is the later request's. */
  #name(requestId: string | number, runId: string): void {
    this.#runs.delete(requestId)
    this.#runs.set(requestId, runId)
    const [oldest] = this.#runs.keys()
    if (this.#runs.size > NAMED_REQUESTS && oldest !== undefined) this.#runs.delete(oldest)
  }
}
