import type { Runnable, RunnableInfo } from '@turnpike/agents'
import { type ErrorBody, GatewayError, LIMITS } from '@turnpike/protocol'
import {
  type AgentGatewayRefusal,
  agentGatewayAnswer,
  agentGatewayRefusal,
  readAgentGatewayRequest,
} from '@turnpike/protocol/agent-gateway'
import { type Request, decodeCommand } from '@turnpike/protocol/wire'
import type { Socket } from 'socket.io'
import type { Commands, Handled } from '../../connections/connection.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { SendSettings } from '../../runs/run-requests.ts'
import type { Session } from '../../connections/session.ts'
import { executeMakingRoom } from '../making-room.ts'
import type { Catalogue } from './agent-gateway-catalogue.ts'
import type { RequestLimits } from './agent-gateway-limits.ts'
import type { ListedTool } from './agent-gateway-tools.ts'

export interface RequestsOptions {
  readonly catalogue: Catalogue
  readonly tools: ReadonlyMap<string, ListedTool>
  readonly limits: RequestLimits
  readonly logger: Logger
}

type Listing = (payload: unknown) => unknown

/** Carries out what the clients of the agent gateway ask for. */
export class AgentGatewayRequests {
  readonly #options: RequestsOptions
  readonly #listings: ReadonlyMap<string, Listing>

  constructor(options: RequestsOptions) {
    const { catalogue, tools } = options
    this.#options = options
    const names = (kind: RunnableInfo['kind']): string[] => [...catalogue.list(kind).keys()]
    this.#listings = new Map<string, Listing>([
      ['agents.list', () => [...catalogue.list('agent')].map(([name, { info }]) => agentAs(name, info))],
      ['teams.list', () => [...catalogue.list('team')].map(([name, { info }]) => ({ ...info, name }))],
      [
        'workflows.list',
        () => [...catalogue.list('workflow')].map(([name, { info }]) => ({ ...info, name })),
      ],
      [
        'registry.list',
        () => ({ agents: names('agent'), teams: names('team'), workflows: names('workflow') }),
      ],
      ['tools.list', () => [...tools.values()]],
      ['tools.get', (payload) => toolOf(tools, payload)],
    ])
  }

  /** For one socket. */
  of(socket: Socket): Commands {
    return async (request, session) => {
      try {
        if (!UNCOUNTED.has(request.command)) await this.#options.limits.take(socket, session.principal)
        const listing = this.#listings.get(request.command)
        if (listing) return { answer: listing(request.payload) }
        return await this.#execute(request, session, socket)
      } catch (error) {
        if (request.command === 'tools.get') return { answer: { error: this.#reported(error) } }
        const refusal: AgentGatewayRefusal = {
          ok: false,
          error: this.#reported(error),
          ...runIn(request, socket),
        }
        // Who listens for how a run ends learns it there, also where somebody waits for the answer.
        if (request.id === null && isRun(request)) socket.emit('agent.error', agentGatewayRefusal(refusal))
        return { answer: refusal }
      }
    }
  }

  async #execute({ command, payload }: Request, session: Session, socket: Socket): Promise<Handled> {
    const { catalogue } = this.#options
    const asked = isRun({ command }) ? completed(payload, socket) : payload
    const { kind, apiKey, ...request } = readAgentGatewayRequest(command, asked)
    const canonical = decodeCommand(request.command, request.payload)
    if (canonical.name === 'auth') throw new GatewayError('unknown-command', 'There is no such event.')
    const settings: SendSettings = {
      ...(kind && { findAgent: (name = '') => found(catalogue, kind, name) }),
      ...(apiKey !== undefined && { apiKey }),
    }
    const onLeft = (sessionId: string): void => void socket.emit('session.left', { sessionId })
    const { answer, begin } = await executeMakingRoom(session, canonical, { settings, onLeft })
    if ('recovered' in answer && !answer.recovered && canonical.name === 'thread.subscribe') {
      // Where nobody takes the answer it is told as a reset, which says of which session.
      return { answer: { ...answer, sessionId: canonical.payload.threadId }, begin }
    }
    return { answer: agentGatewayAnswer(answer), begin }
  }

  #reported(error: unknown): ErrorBody {
    if (error instanceof GatewayError) return error.toJSON()
    this.#options.logger.error({ error }, 'a request failed')
    return new GatewayError('internal', 'Something went wrong on the server.').toJSON()
  }
}

/** A limit on asking is no limit on stopping, or on answering what was asked. */
const UNCOUNTED: ReadonlySet<string> = new Set(['run.cancel', 'approval.resolve', 'session.leave'])

function isRun({ command }: Pick<Request, 'command'>): boolean {
  return command === 'agent.run' || command === 'team.run' || command === 'workflow.run'
}

/** What a client need not say of a run: its session, and a key that came with the connection. */
function completed(payload: unknown, socket: Socket): unknown {
  if (!isObject(payload)) return payload
  const { sessionId = socket.id, apiKey } = payload
  const handshake: unknown = socket.handshake.auth['apiKey']
  return { ...payload, sessionId, apiKey: apiKey === undefined || apiKey === '' ? handshake : apiKey }
}

/** The run that a request is about, as far as it says. */
function runIn({ command, payload }: Request, socket: Socket): Omit<AgentGatewayRefusal, 'ok' | 'error'> {
  const { runId, sessionId } = isObject(payload) ? payload : {}
  const session = sessionId === undefined && isRun({ command }) ? socket.id : sessionId
  return { ...(isId(runId) && { runId }), ...(isId(session) && { sessionId: session }) }
}

/** @throws GatewayError `unknown-agent` */
function found(catalogue: Catalogue, kind: RunnableInfo['kind'], name: string): Runnable {
  const runnable = catalogue.find(kind, name)
  if (runnable) return runnable
  throw new GatewayError(
    'unknown-agent',
    `There is no ${kind} of that name. "${kind}s.list" tells which there are.`,
  )
}

function agentAs(
  name: string,
  { model, provider, tools, hasStructuredOutput = false }: RunnableInfo,
): object {
  return { name, model, provider, tools, hasStructuredOutput }
}

/** @throws GatewayError `unknown-tool` */
function toolOf(tools: ReadonlyMap<string, ListedTool>, payload: unknown): ListedTool {
  const name = isObject(payload) ? payload['name'] : undefined
  if (!isId(name))
    throw new GatewayError('invalid-payload', 'tools.get: "name" is not valid: expected a name.')
  const tool = tools.get(name)
  if (tool) return tool
  throw new GatewayError('unknown-tool', 'There is no tool of that name. "tools.list" tells which there are.')
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LIMITS.idChars
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
