import { type PayloadOf, GatewayError } from '@turnpike/protocol'
import {
  type AgentRequest,
  agentSocketDialect,
  agentSocketRefusal,
  readAgentSocketRequest,
  resolvedFrame,
  runIdOf,
} from '@turnpike/protocol/agent-websocket'
import { type Request, decodeCommand } from '@turnpike/protocol/wire'
import type { Connection, Handled } from '../../connections/connection.ts'
import type { Gateway } from '../../gateway.ts'
import { ConnectionLink } from '../../manager/connection-link.ts'
import type { WebSocketConnection } from '../../manager/websocket-handler.ts'
import type { SendSettings } from '../../runs/run-requests.ts'
import type { Outcome, Session } from '../../connections/session.ts'
import type { ChatAgents } from '../chat-agents.ts'
import { executeMakingRoom } from '../making-room.ts'

/** Requests of a connection that are known to have ended, the latest ones. */
const ENDED_REQUESTS = 256

export interface AgentSocketOptions {
  readonly gateway: Gateway
  readonly agents: ChatAgents
}

/** One client of the agent handler: any number of requests in flight, each a run. */
export class AgentSocket {
  /** Who it was taken for; undefined where nobody has said so. */
  readonly user: WebSocketConnection['user']
  readonly #agents: ChatAgents
  /** A session of this connection's own is called like it, for requests that name none. */
  readonly #id: string
  readonly #link: ConnectionLink
  /** Absent where the gateway did not take it. */
  readonly #connection: Connection | undefined
  /** The runs of requests that go on, by what the client calls these. */
  readonly #going = new Map<string | number, string>()
  /** Requests that are through: to cancel one that has just ended is no mistake. */
  readonly #ended = new Set<string | number>()
  #count = 0

  /** Takes a connection; one that the gateway does not take is told so, and closed. */
  constructor(connection: WebSocketConnection, { gateway, agents }: AgentSocketOptions) {
    const { id, user } = connection
    this.#id = id
    this.user = user
    this.#agents = agents
    this.#link = new ConnectionLink(connection)
    try {
      gateway.assertRoom()
      this.#connection = gateway.accept(this.#link, agentSocketDialect(id), {
        ...(user && { admitted: { principal: user } }),
        commands: (request, session) => this.#carryOut(request, session),
      })
      this.#link.attach(this.#connection)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      this.#link.say(agentSocketRefusal(error.toJSON()))
      this.#link.close(error.row.close ?? 4500, error.code)
    }
  }

  receive(text: string): void {
    this.#connection?.receive(text)
  }

  malformed(reason: string): void {
    this.#connection?.malformed(reason)
  }

  closed(): void {
    this.#connection?.closed()
  }

  async #carryOut({ command, payload }: Request, session: Session): Promise<Handled> {
    const asked = readAgentSocketRequest(command, payload)
    if (asked.kind === 'approve') return this.#approve(asked.payload, session)
    if (asked.kind === 'cancel') return this.#cancel(asked.requestId, session)
    return this.#run(asked, session)
  }

  async #approve(payload: PayloadOf<'approval.resolve'>, session: Session): Promise<Handled> {
    const { answer } = await session.execute({ name: 'approval.resolve', payload })
    if ('approved' in answer) this.#link.say(resolvedFrame(payload.approvalId, answer.approved))
    return { answer: undefined }
  }

  async #cancel(requestId: string | number, session: Session): Promise<Handled> {
    const runId = this.#going.get(requestId)
    if (runId !== undefined) return session.execute({ name: 'run.cancel', payload: { runId } })
    if (!this.#ended.has(requestId)) {
      const error = new GatewayError('unknown-run', 'There is no request of that id.')
      this.#link.say(agentSocketRefusal(error.toJSON(), requestId))
    }
    return { answer: undefined }
  }

  async #run(request: AgentRequest, session: Session): Promise<Handled> {
    const { kind, requestId, payload, settings, toolCall } = request
    const runId = runIdOf(this.#id, { number: ++this.#count, kind, requestId })
    const send = decodeCommand('thread.send', { threadId: this.#id, ...payload, runId })
    if (send.name !== 'thread.send') throw new TypeError('A request has to come to a run.')
    const asked: SendSettings = {
      findAgent: this.#agents.find,
      awaitsEnd: true,
      ...(settings && Object.keys(settings).length > 0 && { settings }),
      ...(toolCall && { toolCall }),
    }
    const outcome = await executeMakingRoom(session, send, { settings: asked })
    if (requestId !== undefined) this.#name(requestId, runId, outcome)
    return outcome
  }

  /** A name that is used again is the later request's. */
  #name(requestId: string | number, runId: string, { ended = Promise.resolve() }: Outcome): void {
    this.#ended.delete(requestId)
    this.#going.set(requestId, runId)
    const forget = (): void => {
      if (this.#going.get(requestId) !== runId) return
      this.#going.delete(requestId)
      this.#ended.add(requestId)
      const [oldest] = this.#ended
      if (this.#ended.size > ENDED_REQUESTS && oldest !== undefined) this.#ended.delete(oldest)
    }
    ended.then(forget, forget)
  }
}
