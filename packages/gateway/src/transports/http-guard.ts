import { GatewayError } from '@turnpike/protocol'
import { type Context, Hono } from 'hono'
import { cors } from 'hono/cors'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Gateway } from '../gateway.ts'
import type { Env } from './http-input.ts'

/** An app with no routes yet: who may come from where, and how errors are answered. */
export function guardedApp(gateway: Gateway): Hono<Env> {
  const app = new Hono<Env>()
  const { admission } = gateway
  app.use(async (c, next) => {
    admission.assertOrigin(c.env.incoming.headers)
    await next()
    c.header('x-content-type-options', 'nosniff')
  })
  app.use(
    cors({
      origin: (origin) => origin,
      allowMethods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowHeaders: ['authorization', 'content-type', 'last-event-id'],
      exposeHeaders: ['retry-after'],
      credentials: admission.usesCookies,
    }),
  )
  app.onError((error, c) => answerError(gateway, c, error))
  app.notFound((c) =>
    answerError(gateway, c, new GatewayError('unknown-route', 'Nothing is served at this path.')),
  )
  return app
}

function answerError(gateway: Gateway, c: Context<Env>, thrown: Error): Response {
  const { incoming } = c.env
  // Who leaves in the middle of a request is no failure, and gets no answer.
  const hasLeft = incoming.destroyed && !incoming.complete
  if (!(thrown instanceof GatewayError) && !hasLeft) {
    gateway.logger.error({ error: thrown }, 'a request failed')
  }
  const error =
    thrown instanceof GatewayError
      ? thrown
      : new GatewayError('internal', 'Something went wrong on the server.')
  const { row, retryAfterMs } = error
  if (retryAfterMs !== undefined) c.header('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  // RFC 9110 section 15.5.2 asks for it; browsers show nothing for this scheme.
  if (row.http === 401) c.header('www-authenticate', 'Bearer')
  return c.json({ error }, row.http as ContentfulStatusCode)
}
