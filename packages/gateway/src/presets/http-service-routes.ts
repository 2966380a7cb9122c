import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { GatewayError } from '@turnpike/protocol'
import { chatJson, readChatRequest } from '@turnpike/protocol/chat-json'
import type { Context, Hono } from 'hono'
import type { Gateway } from '../gateway.ts'
import { readHistory } from '../history.ts'
import type { Admitted } from '../identity.ts'
import type { SendSettings } from '../run-requests.ts'
import {
  type Env,
  admittedOf,
  bodyOf,
  checked,
  pageOf,
  principalOf,
  ticketOf,
} from '../transports/http-input.ts'
import { answerWith, openStream } from '../transports/http-streams.ts'
import { dataFraming } from '../transports/sse.ts'
import type { ChatAgents } from './chat-agents.ts'
import { ChatAnswerLink, chatEndings } from './chat-answer.ts'

/** Adds liveness and readiness. */
export function addHealthRoutes(app: Hono<Env>, gateway: Gateway): void {
  for (const path of ['/health', '/healthz']) app.get(path, (c) => c.json({ status: 'ok' }))
  app.get('/readyz', (c) => {
    if (gateway.isDraining) throw new GatewayError('draining', 'The server is shutting down.')
    return c.json({ status: 'ok' })
  })
}

/** Adds the HTTP routes of chat JSON. */
export function addChatRoutes(app: Hono<Env>, gateway: Gateway, agents: ChatAgents): void {
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
    const admitted = await admittedOf(c, gateway)
    const body = await bodyOf(c, limits.frameBytes)
    const { userId, payload } = readChatRequest('chat', { ...body, agent: c.req.param('agent') })
    const settings = { findAgent: agents.find, ...(userId !== undefined && { chargedTo: userId }) }
    const chat = { gateway, admitted, settings, payload: checked('thread.send', payload) }
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
}

function wantsEvents(c: Context<Env>): boolean {
  return /\btext\/event-stream\b/i.test(c.req.header('accept') ?? '')
}

/** Each `data:` is a frame of the wire; it ends with the run. */
function streamChat(c: Context<Env>, { gateway, admitted, payload, settings }: Chat): Promise<Response> {
  const stream = openStream(c, { gateway, dialect: chatJson, admitted, framing: dataFraming })
  const { session, link } = stream
  return answerWith(
    c,
    stream,
    session.send(payload, () => link.close(), settings),
  )
}

/** Waits for the run's end. Where nobody waits any more, the run goes on all the same. */
async function answerChat(
  c: Context<Env>,
  { gateway, admitted, payload, settings }: Chat,
): Promise<Response> {
  gateway.assertRoom()
  const response = c.env.outgoing as ServerResponse
  const link = new ChatAnswerLink()
  const session = gateway.listen(link, chatEndings, admitted.principal)
  const gone = new Promise<undefined>((resolve) => response.once('close', () => resolve(undefined)))
  try {
    const { answer, begin } = await session.send(payload, () => link.end(), settings)
    if (!('runId' in answer)) throw new TypeError('A chat has to come to a run.')
    begin?.()
    const told = await Promise.race([link.answerOf(answer.runId), gone])
    return told ? c.json(told) : RESPONSE_ALREADY_SENT
  } finally {
    session.close()
  }
}
