import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { GatewayError } from '@turnpike/protocol'
import type { Dialect, DuplexDialect } from '@turnpike/protocol/wire'
import type { Context, Hono } from 'hono'
import { scheduleAt } from '../timing/expiry.ts'
import type { Gateway } from '../gateway.ts'
import type { Admitted } from '../access/identity.ts'
import { type Framing, bytesOf } from '../links/link.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Outcome, Session } from '../connections/session.ts'
import { resetOf } from '../connections/subscription.ts'
import { type Env, admittedOf, bodyOf, checked } from './http-input.ts'
import { EventStream } from './sse.ts'

/** Adds the routes that answer with an event stream: one starts a run, one follows a thread. */
export function addStreams(app: Hono<Env>, gateway: Gateway, words: Dialect): void {
  // Without a word for a goodbye: these streams just end.
  const dialect: Dialect = {
    name: words.name,
    encode: (event) => words.encode(event),
    reset: (reset) => words.reset(reset),
  }
  app.post('/agents/:agent/chat/stream', async (c) => {
    const admitted = await admittedOf(c, gateway)
    const body = await bodyOf(c, gateway.limits.frameBytes)
    const payload = checked('thread.send', { ...body, agent: c.req.param('agent') })
    const stream = openStream(c, { gateway, dialect, admitted })
    return answerWith(
      c,
      stream,
      stream.session.send(payload, () => stream.link.close()),
    )
  })

  app.get('/threads/:thread/events', async (c) => {
    const admitted = await admittedOf(c, gateway)
    const payload = checked('thread.subscribe', {
      threadId: c.req.param('thread'),
      // A browser that reconnects repeats the address it was given; the header is the newer of the two.
      lastEventId: c.req.header('last-event-id') ?? c.req.query('after'),
      reasoning: c.req.query('reasoning') === '1',
    })
    const stream = openStream(c, { gateway, dialect, admitted })
    return answerWith(c, stream, stream.session.subscribe(payload))
  })
}

/** An answer that goes on: nothing of it is sent before {@link answerWith}. */
export interface Stream {
  readonly link: EventStream
  readonly session: Session
  readonly dialect: Dialect
  readonly metrics: Metrics
  /** Ends the stream with the credential; returns what takes that back. */
  readonly expire: () => () => void
}

/** How a stream says what, to whom. */
export interface StreamOptions {
  readonly gateway: Gateway
  readonly dialect: Dialect & Partial<Pick<DuplexDialect, 'goodbye'>>
  readonly admitted: Admitted
  readonly framing?: Framing
}

/** Opens a session on the response of a request. @throws GatewayError `draining` | `too-many-connections` */
export function openStream(c: Context<Env>, { gateway, dialect, admitted, framing }: StreamOptions): Stream {
  gateway.assertRoom()
  const { incoming: request, outgoing } = c.env
  const response = outgoing as ServerResponse
  const { admission, wheel, limits } = gateway
  const { heartbeatMs } = limits
  const cookies = admission.usesCookies
  const link = new EventStream({ request, response, wheel, heartbeatMs, cookies, framing })
  const session = gateway.listen(link, dialect, admitted.principal)
  const { expiresAt } = admitted
  const expired = new GatewayError('token-expired', 'The token has expired. Come back with a newer one.')
  const end = (): void => session.dismiss(expired)
  const expire = (): (() => void) => (expiresAt === undefined ? () => {} : scheduleAt(wheel, expiresAt, end))
  return { link, session, dialect, metrics: gateway.metrics, expire }
}

/** What fails until there is an outcome is answered in JSON; what follows is events. */
export async function answerWith(
  c: Context<Env>,
  { link, session, dialect, metrics, expire }: Stream,
  asked: Promise<Outcome>,
): Promise<Response> {
  let stopExpiry = (): void => {}
  try {
    const outcome = await asked
    const opened = link.open({
      onDrain: () => session.pump(),
      onClose: () => {
        stopExpiry()
        session.close()
      },
    })
    if (opened) {
      stopExpiry = expire()
      const threadId = c.req.param('thread') ?? ''
      sayOpening(link, { threadId, answer: outcome.answer, dialect, metrics })
      outcome.begin?.()
    }
    return RESPONSE_ALREADY_SENT
  } catch (error) {
    session.close()
    throw error
  }
}

/** A reader whose place is gone gets a reset; one that named no place learns which one it has. */
function sayOpening(
  link: EventStream,
  {
    threadId,
    answer,
    dialect,
    metrics,
  }: Pick<Stream, 'dialect' | 'metrics'> & {
    threadId: string
    answer: Outcome['answer']
  },
): void {
  if (!('recovered' in answer) || answer.recovered) return
  const { cause } = answer
  if (!cause) return link.mark(answer.head)
  const frames = dialect.reset(resetOf({ id: threadId }, { ...answer, cause }))
  const bytes = bytesOf(link.framing, frames)
  link.write(bytes)
  metrics.wire(link.framing.name).wrote(frames.length, bytes.length)
}
