import { GatewayError } from '@turnpike/protocol'
import { type Dialect } from '@turnpike/protocol/wire'
import { type Context, Hono } from 'hono'
import { cors } from 'hono/cors'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { threadRef } from '../access.ts'
import type { Gateway } from '../gateway.ts'
import { readHistory } from '../store.ts'
import { type Env, bodyOf, checked, pageOf, principalOf, threadPageOf } from './http-input.ts'
import { addStreams } from './http-streams.ts'

/** The HTTP routes of a gateway: JSON, and event streams in the given dialect. */
export function httpRoutes(gateway: Gateway, dialect: Dialect): Hono<Env> {
  const app = new Hono<Env>()
  const { admission, limits, runs, store } = gateway

  app.use(async (c, next) => {
    admission.assertOrigin({ origin: c.req.header('origin'), host: c.req.header('host') })
    await next()
    c.header('x-content-type-options', 'nosniff')
  })
  app.use(
    cors({
      origin: (origin) => origin,
      allowMethods: ['GET', 'POST'],
      allowHeaders: ['authorization', 'content-type', 'last-event-id'],
    }),
  )
  app.onError((error, c) => answerError(gateway, c, error))
  app.notFound((c) =>
    answerError(gateway, c, new GatewayError('unknown-route', 'Nothing is served at this path.')),
  )

  app.get('/healthz', (c) => c.json({ status: 'ok' }))
  app.get('/readyz', (c) => {
    if (gateway.isDraining) throw new GatewayError('draining', 'The server is shutting down.')
    return c.json({ status: 'ok' })
  })
  app.get('/agents', async (c) => {
    await principalOf(c, gateway)
    return c.json({ agents: gateway.agents.list().map((agent) => agent.info) })
  })

  addStreams(app, gateway, dialect)

  app.get('/threads', async (c) => {
    const { id } = await principalOf(c, gateway)
    const page = threadPageOf(c)
    const threads = await store.threads(id, page)
    const last = threads.length === page.limit ? threads.at(-1) : undefined
    return c.json({ threads, ...(last && { before: `${last.updatedAt}-${last.id}` }) })
  })
  app.get('/threads/:thread/messages', async (c) => {
    const thread = threadRef(await principalOf(c, gateway), c.req.param('thread'))
    if (!(await store.hasThread(thread))) throw unknownThread()
    const snapshot = await gateway.log.snapshot(thread)
    const { history, ...place } = await readHistory(store, thread, {
      snapshot,
      limits,
      reasoning: c.req.query('reasoning') === '1',
      ...pageOf(c),
    })
    return c.json({ messages: history, ...place })
  })

  app.post('/approvals/:approval', async (c) => {
    const principal = await principalOf(c, gateway)
    const body = await bodyOf(c, gateway.limits.frameBytes)
    const payload = checked('approval.resolve', { ...body, approvalId: c.req.param('approval') })
    return c.json({ ok: true, ...gateway.approvals.resolve(principal, payload) })
  })
  app.post('/runs/:run/cancel', async (c) => {
    const principal = await principalOf(c, gateway)
    const { runId } = checked('run.cancel', { runId: c.req.param('run') })
    return c.json({ ok: true, status: runs.cancel(principal, runId) })
  })

  return app
}

function unknownThread(): GatewayError {
  return new GatewayError('unknown-thread', 'There is no thread of that id.')
}

function answerError(gateway: Gateway, c: Context<Env>, thrown: Error): Response {
  if (!(thrown instanceof GatewayError)) gateway.logger.error({ error: thrown }, 'a request failed')
  const error =
    thrown instanceof GatewayError
      ? thrown
      : new GatewayError('internal', 'Something went wrong on the server.')
  const { row, retryAfterMs } = error
  if (retryAfterMs !== undefined) c.header('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  return c.json({ error }, row.http as ContentfulStatusCode)
}
