import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Principal } from '@turnpike/agents'
import type { Dialect } from '@turnpike/protocol/wire'
import type { Context, Hono } from 'hono'
import type { Gateway } from '../gateway.ts'
import { bytesOf } from '../link.ts'
import type { Outcome, Session } from '../session.ts'
import { resetOf } from '../subscription.ts'
import { type Env, bodyOf, checked, principalOf } from './http-input.ts'
import { EventStream } from './sse.ts'

/** Adds the routes that answer with an event stream: one starts a run, one follows a thread. */
export function addStreams(app: Hono<Env>, gateway: Gateway, dialect: Dialect): void {
  app.post('/agents/:agent/chat/stream', async (c) => {
    const principal = await principalOf(c, gateway)
    const body = await bodyOf(c, gateway.limits.frameBytes)
    const payload = checked('thread.send', { ...body, agent: c.req.param('agent') })
    const { link, session } = open(c, { gateway, dialect, principal })
    return answer(
      c,
      { link, session, dialect },
      session.send(payload, () => link.close()),
    )
  })

  app.get('/threads/:thread/events', async (c) => {
    const principal = await principalOf(c, gateway)
    const payload = checked('thread.subscribe', {
      threadId: c.req.param('thread'),
      // A browser that reconnects repeats the address it was given; the header is the newer of the two.
      lastEventId: c.req.header('last-event-id') ?? c.req.query('after'),
      reasoning: c.req.query('reasoning') === '1',
    })
    const { link, session } = open(c, { gateway, dialect, principal })
    return answer(c, { link, session, dialect }, session.subscribe(payload))
  })
}

interface Stream {
  readonly link: EventStream
  readonly session: Session
  readonly dialect: Dialect
}

function open(
  c: Context<Env>,
  { gateway, dialect, principal }: { gateway: Gateway; dialect: Dialect; principal: Principal },
): Stream {
  gateway.assertRoom()
  const { incoming: request, outgoing } = c.env
  const response = outgoing as ServerResponse
  const { wheel, limits } = gateway
  const link = new EventStream({ request, response, wheel, heartbeatMs: limits.heartbeatMs })
  return { link, session: gateway.listen(link, dialect, principal), dialect }
}

/** What fails until there is an outcome is answered in JSON; what follows is events. */
async function answer(
  c: Context<Env>,
  { link, session, dialect }: Stream,
  asked: Promise<Outcome>,
): Promise<Response> {
  try {
    const outcome = await asked
    const opened = link.open({
      onDrain: () => session.pump(),
      onClose: () => session.close(),
    })
    if (opened) {
      sayOpening(link, { threadId: c.req.param('thread') ?? '', answer: outcome.answer, dialect })
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
  { threadId, answer, dialect }: { threadId: string; answer: Outcome['answer']; dialect: Dialect },
): void {
  if (!('recovered' in answer) || answer.recovered) return
  const { cause } = answer
  if (cause) link.write(bytesOf(link.framing, dialect.reset(resetOf({ id: threadId }, { ...answer, cause }))))
  else link.mark(answer.head)
}
