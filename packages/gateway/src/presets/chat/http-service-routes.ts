import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { GatewayError } from '@turnpike/protocol'
import { chatJson, readChatRequest } from '@turnpike/protocol/chat-json'
import type { Context, Hono } from 'hono'
import { accepts } from 'hono/accepts'
import type { Gateway } from '../../gateway.ts'
import { readHistory } from '../../logs/history.ts'
import type { Admitted } from '../../access/identity.ts'
import type { SendSettings } from '../../runs/run-requests.ts'
import {
  type Env,
  admittedOf,
  bodyOf,
  checked,
  pageOf,
  principalOf,
  ticketOf,
} from '../../transports/http-input.ts'
import { answerWith, openStream } from '../../transports/http-streams.ts'
import { dataFraming } from '../../transports/sse.ts'
import type { ChatAgents } from '../chat-agents.ts'
import type { OpenAnswers } from './open-answers.ts'
import { ChatAnswerLink, chatEndings } from './chat-answer.ts'

/** Adds liveness and readiness. */
export function addHealthRoutes(app: Hono<Env>, gateway: Gateway, answers: OpenAnswers): void {
  for (const path of ['/health', '/healthz']) app.get(path, (c) => c.json({ status: 'ok' }))
  app.get('/readyz', (c) => {
    answers.assertOpen()
    if (gateway.isDraining) throw new GatewayError('draining', 'The server is shutting down.')
    return c.json({ status: 'ok' })
  })
}

export interface ChatRoutesOptions {
  readonly gateway: Gateway
  readonly agents: ChatAgents
  readonly answers: OpenAnswers
}

/** Adds the HTTP routes of chat JSON. */
export function addChatRoutes(app: Hono<Env>, options: ChatRoutesOptions): void {
  const { gateway, agents, answers } = options
  const { access, limits, log, runs, store } = gateway

  app.get('/v1/agents', async (c) => {
    await principalOf(c, gateway)
    return c.json({ agents: agents.list().map(({ info }) => info) })
  })

  app.get('/v1/sessions/:session', async (c) => {
    const principal = await principalOf(c, gateway)
    const { threadId } = checked('thread.subscribe', { threadId: c.req.param('session') })
    await gateway.open()
    const thread = await access.threadToRead(principal, threadId)
    const snapshot = await log.snapshot(thread)
    const { history, ...place } = await readHistory(store.threads, thread, {
      snapshot,
      limits,
      reasoning: false,
      ...pageOf(c),
    })
    return c.json({ sessionId: threadId, messages: history, ...place })
  })

  app.post('/v1/chat/:agent', async (c) => {
    answers.assertOpen()
    const admitted = await admittedOf(c, gateway)
    const body = await bodyOf(c, limits.frameBytes)
    const { userId, payload } = readChatRequest('chat', { ...body, agent: c.req.param('agent') })
    const chargedTo = userId === undefined ? {} : { chargedTo: userId }
    const settings = { findAgent: agents.find, awaitsEnd: true, ...chargedTo }
    const chat = { gateway, admitted, settings, payload: checked('thread.send', payload), answers }
    return wantsEvents(c) ? streamChat(c, chat) : answerChat(c, chat)
  })

  app.post('/v1/runs/:run/cancel', async (c) => {
    const principal = await principalOf(c, gateway)
    const { runId } = checked('run.cancel', { runId: c.req.param('run') })
    const owner = await access.ownerOfRun(principal, runId)
    return c.json({ status: await runs.cancel(owner, runId) })
  })

  app.post('/v1/tickets', async (c) => {
    c.header('cache-control', 'no-store')
    return c.json(await ticketOf(c, gateway))
  })
}

interface Chat {
  readonly gateway: Gateway
  readonly admitted: Admitted
  readonly payload: ReturnType<typeof checked<'thread.send'>>
  readonly settings: SendSettings
  readonly answers: OpenAnswers
}

const EVENTS = 'text/event-stream'
const JSON_TYPE = 'application/json'

/** Who takes both gets events, unless it would rather have JSON. */
function wantsEvents(c: Context<Env>): boolean {
  const wanted = accepts(c, {
    header: 'Accept',
    supports: [EVENTS, JSON_TYPE],
    default: JSON_TYPE,
    match: (given) => {
      const weightOf = (name: string): number => given.find(({ type }) => type.toLowerCase() === name)?.q ?? 0
      return weightOf(EVENTS) > 0 && weightOf(EVENTS) >= weightOf(JSON_TYPE) ? EVENTS : JSON_TYPE
    },
  })
  return wanted === EVENTS
}

/** Each `data:` is a frame of the wire; it ends with the run. */
function streamChat(c: Context<Env>, chat: Chat): Promise<Response> {
  const { gateway, admitted, payload, settings, answers } = chat
  const stream = openStream(c, { gateway, dialect: chatJson, admitted, framing: dataFraming })
  const { session, link } = stream
  c.env.outgoing.once('close', answers.enter(session))
  return answerWith(
    c,
    stream,
    session.send(payload, () => link.close(), settings),
  )
}

/** Waits for the run's end. Where nobody waits any more, the run goes on all the same. */
async function answerChat(
  c: Context<Env>,
  { gateway, admitted, payload, settings, answers }: Chat,
): Promise<Response> {
  gateway.assertRoom()
  const response = c.env.outgoing as ServerResponse
  const link = new ChatAnswerLink()
  const session = gateway.listen(link, chatEndings, admitted.principal)
  const gone = new Promise<void>((resolve) => response.once('close', resolve))
  const leave = answers.enter(session)
  try {
    const { answer, begin } = await session.send(payload, () => link.end(), settings)
    if (!('runId' in answer)) throw new TypeError('A chat has to come to a run.')
    begin?.()
    const told = await Promise.race([link.answerOf(answer.runId), gone.then(() => 'gone' as const)])
    return told === 'gone' ? RESPONSE_ALREADY_SENT : c.json(told)
  } finally {
    leave()
    session.close()
  }
}
