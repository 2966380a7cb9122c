import { GatewayError } from '@turnpike/protocol'
import { type Dialect } from '@turnpike/protocol/wire'
import type { Hono } from 'hono'
import type { Gateway } from '../gateway.ts'
import { readHistory } from '../logs/history.ts'
import { guardedApp } from './http-guard.ts'
import {
  type Env,
  bodyOf,
  checked,
  pageOf,
  principalOf,
  threadPageOf,
  ticketOf,
  versionOf,
} from './http-input.ts'
import { addStreams } from './http-streams.ts'

/** The HTTP routes of a gateway: JSON, and event streams in the given dialect. */
export function httpRoutes(gateway: Gateway, dialect: Dialect): Hono<Env> {
  const app = guardedApp(gateway)
  const { access, limits, runs, sessions, store } = gateway

  for (const path of ['/health', '/healthz']) app.get(path, (c) => c.json({ status: 'ok' }))
  app.get('/readyz', (c) => {
    if (gateway.isDraining) throw new GatewayError('draining', 'The server is shutting down.')
    return c.json({ status: 'ok' })
  })
  app.post('/tickets', async (c) => {
    c.header('cache-control', 'no-store')
    return c.json(await ticketOf(c, gateway))
  })
  app.get('/agents', async (c) => {
    await principalOf(c, gateway)
    return c.json({ agents: gateway.agents.list().map((agent) => agent.info) })
  })

  app.get('/connections', async (c) => c.json({ connections: sessions.list(await principalOf(c, gateway)) }))
  app.post('/connections/:connection/close', async (c) => {
    sessions.close(await principalOf(c, gateway), c.req.param('connection'))
    return c.json({ ok: true })
  })

  addStreams(app, gateway, dialect)

  app.get('/threads', async (c) => {
    const { id } = await principalOf(c, gateway)
    const page = threadPageOf(c)
    const threads = await store.threads.list(id, page)
    const last = threads.length === page.limit ? threads.at(-1) : undefined
    return c.json({ threads, ...(last && { before: `${last.updatedAt}-${last.id}` }) })
  })
  app.get('/threads/:thread/messages', async (c) => {
    const principal = await principalOf(c, gateway)
    const { threadId } = checked('thread.subscribe', { threadId: c.req.param('thread') })
    await gateway.open()
    const thread = await access.threadToRead(principal, threadId)
    const snapshot = await gateway.log.snapshot(thread)
    const { history, ...place } = await readHistory(store.threads, thread, {
      snapshot,
      limits,
      reasoning: c.req.query('reasoning') === '1',
      ...pageOf(c),
    })
    return c.json({ messages: history, ...place })
  })

  app.get('/threads/:thread/artifacts/:artifact', async (c) => {
    const principal = await principalOf(c, gateway)
    const { threadId } = checked('thread.subscribe', { threadId: c.req.param('thread') })
    const thread = await access.threadToRead(principal, threadId)
    const artifact = await store.artifacts(thread).load(c.req.param('artifact'), versionOf(c))
    if (!artifact) throw new GatewayError('unknown-artifact', 'There is no such artifact in this thread.')
    return c.json({ artifact })
  })

  app.post('/approvals/:approval', async (c) => {
    const principal = await principalOf(c, gateway)
    const body = await bodyOf(c, gateway.limits.frameBytes)
    const payload = checked('approval.resolve', { ...body, approvalId: c.req.param('approval') })
    const owner = await access.ownerOfApproval(principal, payload.approvalId)
    return c.json({ ok: true, ...(await gateway.approvals.resolve(owner, principal, payload)) })
  })
  app.post('/runs/:run/cancel', async (c) => {
    const principal = await principalOf(c, gateway)
    const { runId } = checked('run.cancel', { runId: c.req.param('run') })
    const owner = await access.ownerOfRun(principal, runId)
    return c.json({ ok: true, status: await runs.cancel(owner, runId) })
  })

  return app
}
