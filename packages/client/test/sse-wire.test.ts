import { type Link, type LinkEnd, type Outcome } from '@turnpike/client/wire'
import type { CommandName, PayloadOf } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { sseWire } from '../src/wires/sse.ts'
import { ManualClock } from './manual-clock.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const FIRST = '0000000000001-0000000001'

/** What was asked for, and how the test answers that. */
interface Asked {
  readonly path: string
  readonly signal: AbortSignal
  answer(response: Response): void
}

/** An answer that goes on for as long as the test wants. As with a real one, an abort ends it. */
function streamTo({ signal }: Asked, type = 'text/event-stream') {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) })
  signal.addEventListener('abort', () => controller?.error(signal.reason))
  return {
    response: new Response(body, { headers: { 'content-type': type } }),
    tell: (frame: object) =>
      controller?.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(frame)}\n\n`)),
    end: () => controller?.close(),
  }
}

function refusal(code: string, status: number, retryAfterMs?: number): Response {
  return Response.json({ error: { code, message: 'No.', retryAfterMs } }, { status })
}

/** An open link to a server that the test plays. */
async function setUp() {
  const clock = new ManualClock()
  const asked: Asked[] = []
  const ends: LinkEnd[] = []
  const wire = sseWire((url, { signal }) => {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    if (!signal) throw new TypeError('It cannot be called off.')
    signal.addEventListener('abort', () => reject(signal.reason))
    asked.push({ path: url.replace('http://server', ''), signal, answer: resolve })
    return promise
  })
  const address = { url: 'http://server', token: undefined, ticket: undefined, clock }
  const link: Link = wire.open(address, { onOpen() {}, onFrame() {}, onEnd: (end) => ends.push(end) })
  const next = async (): Promise<Asked> => {
    await turn()
    const found = asked.shift()
    if (!found) throw new Error('Nothing was asked for.')
    return found
  }
  const request = <Name extends CommandName>(name: Name, payload: PayloadOf<Name>): Outcome<Name>[] => {
    const outcomes: Outcome<Name>[] = []
    link.request(name, payload, (outcome) => outcomes.push(outcome))
    return outcomes
  }
  const agents = await next()
  agents.answer(Response.json({ agents: [{ name: 'a' }] }))
  await turn()
  return { clock, link, asked, ends, next, request }
}

/** A run that was sent and read to its end, up to the question for what follows it. */
async function runToEnd({ next, request }: Awaited<ReturnType<typeof setUp>>): Promise<Asked> {
  request('thread.send', { threadId: 't', runId: 'r', message: 'go' } as PayloadOf<'thread.send'>)
  const sent = await next()
  const { response, tell, end } = streamTo(sent)
  sent.answer(response)
  await turn()
  tell({ type: 'finish', id: FIRST, threadId: 't', runId: 'r', seq: 1, createdAt: 1 })
  end()
  const followUp = await next()
  expect(followUp.path).toBe(`/threads/t/events?after=${FIRST}`)
  return followUp
}

test.each([
  ['rate-limited', 429, 10],
  ['forbidden', 403, undefined],
  ['unknown-thread', 404, undefined],
])('a follow-up that is refused with %s ends the link, and is no verdict on it', async (code, status, ms) => {
  const setting = await setUp()
  const followUp = await runToEnd(setting)
  followUp.answer(refusal(code, status, ms))
  await turn()
  expect(setting.ends).toEqual([{ reached: true, ...(ms && { retryAfterMs: ms }) }])
})

test.each(['granted', 'refused'])(
  'a thread that is let go of is not followed by what is %s late',
  async (how) => {
    const setting = await setUp()
    const followUp = await runToEnd(setting)
    setting.request('thread.unsubscribe', { threadId: 't' })
    const { response } = streamTo(followUp)
    followUp.answer(how === 'granted' ? response : refusal('rate-limited', 429))
    await turn()
    expect(followUp.signal.aborted).toBe(how === 'granted')
    expect(setting.ends).toEqual([])
  },
)

test.each([
  ['internal', 500],
  ['too-many-connections', 503],
])('%s for one thread is told to who asked, and the link stays', async (code, status) => {
  const { next, request, ends } = await setUp()
  const outcomes = request('thread.subscribe', { threadId: 't', lastEventId: FIRST })
  const subscribe = await next()
  subscribe.answer(refusal(code, status))
  await turn()
  expect(outcomes).toMatchObject([{ error: { code } }])
  expect(ends).toEqual([])
})

test.each([
  ['a server that drains', (): Response => refusal('draining', 503)],
  ['a proxy that reaches no server', (): Response => new Response('Bad Gateway', { status: 502 })],
])('%s ends the link, and the command is kept for the next', async (_, answer) => {
  const { next, request, ends } = await setUp()
  const outcomes = request('run.cancel', { runId: 'r' })
  const cancel = await next()
  cancel.answer(answer())
  await turn()
  expect(ends).toMatchObject([{ error: { code: 'draining' } }])
  expect(outcomes).toMatchObject([{ error: { name: 'LinkLost' } }])
})

test('an answer whose end never comes is given up', async () => {
  const { next, request, ends, clock } = await setUp()
  request('run.cancel', { runId: 'r' })
  const cancel = await next()
  cancel.answer(streamTo(cancel, 'application/json').response)
  await turn()
  expect(ends).toEqual([])
  clock.advance(20_000)
  await turn()
  expect(ends).toEqual([{ reached: true }])
})

test('a stream that was silent for a while is opened again where there is doubt', async () => {
  const { next, request, ends, clock, link, asked } = await setUp()
  request('thread.subscribe', { threadId: 't', lastEventId: FIRST })
  const first = await next()
  first.answer(streamTo(first).response)
  await turn()
  clock.advance(4_000)
  link.probe()
  await turn()
  expect(asked).toEqual([])
  clock.advance(4_000)
  link.probe()
  const second = await next()
  expect(second.path).toBe(first.path)
  expect(first.signal.aborted).toBe(true)
  expect(ends).toEqual([])
  clock.advance(20_000)
  await turn()
  expect(ends).toEqual([{ reached: true }])
})
