import { type GatewayServer, type GatewayServerOptions, createGatewayServer } from '@turnpike/gateway/server'
import type { ThreadEvent } from '@turnpike/protocol'
import { Inbox } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { type Turn, callingAgent } from '../../gateway/test/calling-agent.ts'
import { createClient } from '../src/index.ts'
import {
  type Tool,
  type ToolConnection,
  type ToolConnectionOptions,
  GatewayError,
  connectTools,
  tool,
} from '../src/tools/index.ts'
import { ManualClock } from './manual-clock.ts'

type Served = GatewayServer & { readonly url: string } & AsyncDisposable
type State = ToolConnection['state']

async function serve(options: GatewayServerOptions = {}): Promise<Served> {
  const server = createGatewayServer({ agents: [], logger: { info() {}, error() {} }, ...options })
  const url = await server.listen(0)
  return { ...server, url, [Symbol.asyncDispose]: () => server.close(0) }
}

/** A server whose agent makes one call of `shop.<name>`, and says that it is done. */
function serveCalling(name: string, args: unknown = {}): Promise<Served> {
  const turns: Turn[] = [{ tool: `shop_${name}`, args }, 'Done.']
  return serve({ agents: [callingAgent(turns, ['shop.*'])] })
}

interface Connected extends ToolConnection {
  readonly states: Inbox<State>
}

/** The shop, and what it says of its connection. */
function connect(
  { url }: { readonly url: string },
  tools: readonly Tool[],
  more: Partial<ToolConnectionOptions> = {},
): Connected {
  const states = new Inbox<State>({ name: 'states' })
  const connection = connectTools({
    url,
    entity: 'shop',
    tools,
    onState: (state) => states.push(state),
    ...more,
  })
  return Object.assign(connection, { states })
}

/** Sends a message, and gives what became of the calls of its run. */
async function run({ url }: Served): Promise<unknown[]> {
  await using client = createClient({ url })
  const stream = await client.threads.stream({ message: 'go' })
  const events: ThreadEvent[] = []
  for await (const event of stream) events.push(event)
  return events.flatMap((event) => {
    if (event.type === 'tool-call-result') return [event.result]
    return event.type === 'tool-call-error' ? [event.error] : []
  })
}

/** A WebSocket that tells of what is sent; it does not go out where the teller says false. */
function socketThat(tell: (frame: { command: string }) => unknown): typeof WebSocket {
  return class extends WebSocket {
    override send(data: string): void {
      if (tell(JSON.parse(data) as { command: string }) !== false) super.send(data)
    }
  }
}

function nested(levels: number): unknown {
  return levels === 0 ? 1 : { child: nested(levels - 1) }
}

const status = tool({ name: 'status', execute: () => 'shipped' })

test('a tool with a schema of zod has arguments of its type', async () => {
  await using server = await serveCalling('price', { order: 'A1' })
  const price = tool({
    name: 'price',
    description: 'What an order costs',
    parameters: z.object({ order: z.string().toUpperCase(), currency: z.string().default('EUR') }),
    execute: ({ order, currency }, { user, callId, runId, threadId, toolCallId }) => ({
      order: order.length,
      currency: currency.toLowerCase(),
      known: [user, callId, runId, threadId, toolCallId].every((text) => text !== ''),
    }),
  })
  await using shop = connect(server, [price])
  await shop.ready
  expect(server.gateway.entityTools.list(['shop.*'])).toMatchObject([
    {
      description: 'What an order costs',
      parameters: {
        json: { type: 'object', properties: { order: { type: 'string' } }, required: ['order'] },
      },
    },
  ])
  expect(await run(server)).toEqual([{ order: 2, currency: 'eur', known: true }])
})

test('arguments that only the schema itself can refuse are refused where the tool is', async () => {
  await using server = await serveCalling('price', { order: 'B1' })
  const parameters = z.object({ order: z.string().refine((order) => order === 'A1', 'there is only A1') })
  await using shop = connect(server, [tool({ name: 'price', parameters, execute: () => 1 })])
  await shop.ready
  expect(await run(server)).toEqual([
    { code: 'tool-failed', message: 'The arguments do not fit the tool: there is only A1 (/order)' },
  ])
})

test.each([
  ['what it gives', () => ({ shipped: true }), { shipped: true }],
  ['nothing', () => undefined, null],
  ['a promise', () => Promise.resolve(1), 1],
  [
    'an error',
    () => {
      throw new Error('No such order.')
    },
    { code: 'tool-failed', message: 'No such order.' },
  ],
  [
    'an error without words',
    () => {
      throw new Error('')
    },
    { code: 'tool-failed', message: 'The tool failed.' },
  ],
  [
    'what is not JSON',
    () => ({ n: 1n }),
    { code: 'tool-failed', message: expect.stringContaining('BigInt') },
  ],
  [
    'too much',
    () => 'ä'.repeat(600_000),
    { code: 'tool-failed', message: expect.stringContaining('bytes of JSON') },
  ],
  ['as many levels as there may be', () => nested(30), nested(30)],
  [
    'too many levels',
    () => nested(31),
    { code: 'tool-failed', message: expect.stringContaining('more than 30 levels') },
  ],
  [
    'an error with too many words',
    () => {
      throw new Error('x'.repeat(1_200_000))
    },
    { code: 'tool-failed', message: `${'x'.repeat(4_095)}…` },
  ],
  [
    'an error that is none',
    () => {
      throw Object.create(null)
    },
    { code: 'tool-failed', message: 'The tool failed.' },
  ],
])('a tool that gives %s says so to the run', async (_what, execute, expected) => {
  await using server = await serveCalling('status')
  await using shop = connect(server, [tool({ name: 'status', execute })])
  await shop.ready
  expect(await run(server)).toEqual([expected])
  expect(shop.state.status).toBe('open')
})

test('a result that goes wrong ends its call alone, and at once', async () => {
  const turns: Turn[] = [{ tool: 'shop_tree', args: {} }, { tool: 'shop_status', args: {} }, 'Done.']
  await using server = await serve({ agents: [callingAgent(turns, ['shop.*'])] })
  await using shop = connect(server, [tool({ name: 'tree', execute: () => nested(40) }), status])
  await shop.ready
  expect(await run(server)).toEqual([{ code: 'tool-failed', message: expect.any(String) }, 'shipped'])
  shop.close()
  const states = await shop.states.until((state) => state.status === 'closed')
  expect(states.map((state) => state.status)).toEqual(['connecting', 'open', 'closed'])
})

test('what a tool gives is asked once what it is', async () => {
  await using server = await serveCalling('status')
  let asked = 0
  const result = { toJSON: () => (++asked === 1 ? 'first' : nested(40)) }
  await using shop = connect(server, [tool({ name: 'status', execute: () => result })])
  await shop.ready
  expect(await run(server)).toEqual(['first'])
})

test.each([
  ['a schema that is none of JSON', z.object({ when: z.date() })],
  ['a number that JSON has not', { type: 'object', maxProperties: 3n }],
  ['itself', Object.assign({}, ...[{}].map((cycle) => Object.assign(cycle, { not: cycle })))],
])('a tool whose parameters hold %s is refused where it is given', (_what, parameters) => {
  const when = tool({ name: 'when', parameters, execute: () => 1 })
  const connecting = (): unknown => connectTools({ url: 'http://127.0.0.1:1', tools: [status, when] })
  expect(connecting).toThrow(TypeError)
  expect(connecting).toThrow('The parameters of the tool "when" cannot be told as JSON Schema')
})

test('a tool can ask for approval', async () => {
  await using server = await serveCalling('refund')
  await using shop = connect(server, [
    tool({ name: 'refund', needsApproval: true, execute: () => 'refunded' }),
  ])
  await shop.ready
  await using client = createClient({ url: server.url })
  const stream = await client.threads.stream({ message: 'go' })
  const results: unknown[] = []
  for await (const event of stream) {
    if (event.type === 'approval-pending') {
      await client.approvals.resolve({ approvalId: event.approvalId, approved: true })
    }
    if (event.type === 'tool-call-result') results.push(event.result)
  }
  expect(results).toEqual(['refunded'])
})

test('a run that is stopped stops the tool', async () => {
  await using server = await serveCalling('status')
  const called = Promise.withResolvers<AbortSignal>()
  const wait = tool({
    name: 'status',
    execute: (_args, { signal }) => {
      called.resolve(signal)
      return new Promise(() => {})
    },
  })
  await using shop = connect(server, [wait])
  await shop.ready
  await using client = createClient({ url: server.url })
  const stream = await client.threads.stream({ message: 'go' })
  const signal = await called.promise
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
  await client.runs.cancel(stream.runId)
  await aborted
  expect(shop.state.status).toBe('open')
})

test('what a stopped call comes to is not sent', async () => {
  await using server = await serveCalling('status')
  const called = Promise.withResolvers<AbortSignal>()
  const wait = tool({
    name: 'status',
    execute: async (_args, { signal }) => {
      called.resolve(signal)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      return 'late'
    },
  })
  const sent = new Inbox<{ command: string }>({ name: 'frames sent' })
  const clock = new ManualClock()
  await using shop = connect(server, [wait], { clock, WebSocket: socketThat((frame) => sent.push(frame)) })
  await shop.ready
  await using client = createClient({ url: server.url })
  const stream = await client.threads.stream({ message: 'go' })
  const signal = await called.promise
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
  await client.runs.cancel(stream.runId)
  await aborted
  await new Promise(setImmediate)
  clock.advance(20_000)
  const commands = [await sent.next(), await sent.next()].map(({ command }) => command)
  expect(commands).toEqual(['tool.register', 'heartbeat'])
})

test('it connects again where the connection is lost, and the tools are there again', async () => {
  await using server = await serveCalling('status')
  await using shop = connect(server, [status])
  await shop.ready
  const listed = await fetch(`${server.url}/connections`)
  const { connections } = (await listed.json()) as { connections: { id: string }[] }
  await fetch(`${server.url}/connections/${connections[0]?.id}/close`, { method: 'POST' })
  await shop.states.until((state) => state.status === 'reconnecting')
  await shop.states.until((state) => state.status === 'open')
  expect(await run(server)).toEqual(['shipped'])
})

test('one that was replaced does not come back', async () => {
  await using server = await serve()
  await using older = connect(server, [status])
  await older.ready
  await using newer = connect(server, [status])
  await newer.ready
  const states = await older.states.until((state) => state.status === 'closed')
  expect(states.at(-1)).toMatchObject({ error: { code: 'entity-replaced' } })
  expect(newer.state.status).toBe('open')
})

test('closing takes the tools away, and stops what runs', async () => {
  await using server = await serveCalling('status')
  const called = Promise.withResolvers<AbortSignal>()
  const wait = tool({
    name: 'status',
    execute: (_args, { signal }) => {
      called.resolve(signal)
      return new Promise(() => {})
    },
  })
  const shop = connect(server, [wait])
  await shop.ready
  const results = run(server)
  const signal = await called.promise
  shop.close()
  expect(signal.aborted).toBe(true)
  expect(await results).toMatchObject([{ code: 'entity-gone' }])
  expect(server.gateway.entityTools.size).toBe(0)
  expect(shop.state.status).toBe('closed')
})

test('tools that the gateway refuses are an error, and not tried again', async () => {
  await using server = await serve()
  await using shop = connect(server, [status, status])
  await expect(shop.ready).rejects.toMatchObject({ code: 'invalid-payload' })
  expect(shop.state).toMatchObject({ status: 'closed', error: expect.any(GatewayError) })
})

test('a token says who it is; another one is asked for where that is refused', async () => {
  const authenticate = async (token: string): Promise<{ id: string } | null> =>
    token === 'good' ? { id: 'warehouse' } : null
  await using server = await serve({ authenticate })
  const tokens = ['bad', 'good']
  await using shop = connect(server, [status], { getToken: () => tokens.shift() })
  await shop.ready
  expect(server.gateway.entityTools.list(['warehouse.*'])).toHaveLength(1)
  await using refused = connect(server, [status], { token: 'bad' })
  await expect(refused.ready).rejects.toMatchObject({ code: 'unauthorized' })
})

test('it gives signs of life, and finds out where none comes back', async () => {
  await using server = await serve()
  const clock = new ManualClock()
  const sent = new Inbox<{ command: string }>({ name: 'frames sent' })
  let isDeaf = false
  const watched = socketThat((frame) => {
    sent.push(frame)
    return !isDeaf
  })
  await using shop = connect(server, [status], { clock, WebSocket: watched })
  await shop.ready
  expect((await sent.next()).command).toBe('tool.register')
  clock.advance(20_000)
  expect((await sent.next()).command).toBe('heartbeat')
  isDeaf = true
  clock.advance(60_000)
  await shop.states.until((state) => state.status === 'reconnecting')
})

test('a refusal that does not say why is an error all the same', async () => {
  await using server = await serve()
  class Mute extends WebSocket {
    override send(data: string): void {
      const { id } = JSON.parse(data) as { id: number }
      const frame = JSON.stringify({ id, ok: false })
      this.dispatchEvent(new MessageEvent('message', { data: frame }))
    }
  }
  await using shop = connect(server, [status], { WebSocket: Mute })
  const states = await shop.states.until((state) => state.status === 'reconnecting')
  expect(states.map((state) => state.status)).toEqual(['connecting', 'reconnecting'])
})
