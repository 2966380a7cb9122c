import { createClient } from '@turnpike/client'
import { createGatewayServer } from '@turnpike/gateway/server'
import type { Limits } from '@turnpike/protocol'
import { countingAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

async function serve(limits: Partial<Limits> = {}): Promise<AsyncDisposable & { url: string }> {
  const server = createGatewayServer({ agents: [countingAgent()], logger, limits })
  const url = await server.listen(0)
  return { url, [Symbol.asyncDispose]: () => server.close(0) }
}

test.each(['websocket', 'sse'] as const)(
  'over %s, a run that is sent again is read from its beginning, though its thread is followed',
  async (transport) => {
    await using server = await serve()
    const message = { threadId: 't', runId: 'r', message: 'count to 2' }
    await using earlier = createClient({ url: server.url })
    const first = await (await earlier.threads.stream(message)).finished
    await using client = createClient({ url: server.url, transport })
    const subscription = client.threads.subscribe({ threadId: 't' })
    await subscription[Symbol.asyncIterator]().next()
    const again = await client.threads.stream(message)
    const types: string[] = []
    for await (const { type } of again) types.push(type)
    expect(types[0]).toBe('start')
    expect(types.at(-1)).toBe('finish')
    expect(await again.finished).toEqual(first)
    const next = await client.threads.stream({ threadId: 't', message: 'count to 3' })
    await next.finished
    await expect.poll(() => subscription.messages.map(({ status }) => status)).toEqual(Array(4).fill('done'))
  },
)

test('a run that the history does not go back to is refused', async () => {
  await using server = await serve({ historyMessages: 2 })
  await using client = createClient({ url: server.url })
  for (const runId of ['r1', 'r2', 'r3']) {
    const stream = await client.threads.stream({ threadId: 't', runId, message: 'count to 2' })
    await stream.finished
  }
  const known = await client.threads.stream({ threadId: 't', runId: 'r3' })
  expect(await known.finished).toMatchObject({ status: 'done' })
  await expect(
    client.threads.stream({ threadId: 't', runId: 'r1' }).then(({ finished }) => finished),
  ).rejects.toMatchObject({ code: 'unknown-run' })
})
