import { once } from 'node:events'
import { readFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAgent, defineAgent } from '@turnpike/agents'
import { openaiCompatible } from '@turnpike/agents/openai-compatible'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { expect, test } from 'vitest'
import { type Body, serveAgentGateway } from './agent-gateway-harness.ts'
import { WholeLog, recordingLogger } from './harness.ts'

const PAYLOAD_KEY = 'sk-payload-0123456789'
const HANDSHAKE_KEY = 'sk-handshake-0123456789'

/** Tells which of the keys a run was given, by its length. */
const keyed = defineAgent({
  name: 'keyed',
  register: false,
  async *run(_input, { apiKey }) {
    yield `${apiKey?.length ?? 0}`
  },
})

async function keyUsed(auth: object, payload: Body): Promise<unknown> {
  await using server = await serveAgentGateway({ agents: { keyed } })
  const client = await server.connect({ auth: { ...auth } }).connected
  const runId = await client.run('agent.run', { name: 'keyed', input: 'Hi', ...payload })
  await client.next('agent.done', runId)
  return client.text(runId)
}

test('a key comes with the run, or with the connection; that of the run wins', async () => {
  const auth = { apiKey: HANDSHAKE_KEY }
  expect(await keyUsed({}, {})).toBe('0')
  expect(await keyUsed(auth, {})).toBe(`${HANDSHAKE_KEY.length}`)
  expect(await keyUsed(auth, { apiKey: '' })).toBe(`${HANDSHAKE_KEY.length}`)
  expect(await keyUsed({}, { apiKey: PAYLOAD_KEY })).toBe(`${PAYLOAD_KEY.length}`)
  expect(await keyUsed(auth, { apiKey: PAYLOAD_KEY })).toBe(`${PAYLOAD_KEY.length}`)
})

test('a key is for one run, and not for the next one', async () => {
  await using server = await serveAgentGateway({ agents: { keyed } })
  const client = await server.connect().connected
  const run = { name: 'keyed', input: 'Hi', sessionId: 's1' }
  const first = await client.run('agent.run', { ...run, apiKey: PAYLOAD_KEY })
  await client.next('agent.done', first)
  const second = await client.run('agent.run', run)
  await client.next('agent.done', second)
  expect([client.text(first), client.text(second)]).toStrictEqual([`${PAYLOAD_KEY.length}`, '0'])
})

test('a key that is none is refused, and not repeated', async () => {
  await using server = await serveAgentGateway({ agents: { keyed } })
  for (const auth of [{ apiKey: [HANDSHAKE_KEY] }, { apiKey: HANDSHAKE_KEY.padEnd(10_000, '!') }]) {
    const client = await server.connect({ auth }).connected
    const answer = await client.ask('agent.run', { name: 'keyed', input: 'Hi' })
    expect(answer).toMatchObject({ ok: false, error: { code: 'invalid-payload' } })
    expect(JSON.stringify([answer, client.told])).not.toContain(HANDSHAKE_KEY)
  }
})

test('a key reaches the provider of the model, and stands in no event, frame, row or log line', async () => {
  // Some servers repeat the key that they refuse.
  const seen: (string | undefined)[] = []
  const provider = createServer((request, response) => {
    seen.push(request.headers.authorization)
    request.resume()
    response.writeHead(401, { 'content-type': 'application/json' })
    const message = `Incorrect API key provided: ${request.headers.authorization}`
    response.end(JSON.stringify({ error: { message, type: 'invalid_request_error' } }))
  })
  provider.listen(0, '127.0.0.1')
  await once(provider, 'listening')
  const { port } = provider.address() as AddressInfo
  const folder = await mkdtemp(join(tmpdir(), 'turnpike-'))
  const logger = recordingLogger()
  const log = new WholeLog({})
  try {
    const model = openaiCompatible({ baseURL: `http://127.0.0.1:${port}/v1` })('m')
    const guide = createAgent({ name: 'guide', model, register: false })
    const store = sqliteStore({ file: join(folder, 'store.sqlite') })
    await using server = await serveAgentGateway({ agents: { guide } }, { machine: { logger, log, store } })
    const client = await server.connect({ auth: { apiKey: HANDSHAKE_KEY } }).connected
    const answers: unknown[] = []
    for (const [runId, apiKey] of [
      ['r1', PAYLOAD_KEY],
      ['r2', undefined],
    ] as const) {
      const run = { name: 'guide', input: 'Hi', sessionId: 's1', runId, apiKey }
      answers.push(await client.ask('agent.run', run))
      await client.next('agent.error', runId)
      answers.push(await client.ask('agent.run', { ...run, input: 'Something else' }))
    }
    answers.push(await client.ask('session.resume', { sessionId: 's1' }))
    await server.gateway.drain(0)

    expect(seen).toStrictEqual([`Bearer ${PAYLOAD_KEY}`, `Bearer ${HANDSHAKE_KEY}`])
    expect(client.all('agent.error', 'r1')[0]).toMatchObject({ code: 'model-unauthorized' })
    const rows = await Promise.all(
      (await readdir(folder)).map((name) => readFile(join(folder, name), 'latin1')),
    )
    const everything = [
      JSON.stringify([client.told, answers, log.events]),
      ...rows,
      ...logger.errors.map(described),
    ]
    expect(logger.errors.length).toBeGreaterThan(0)
    expect(everything.join('\n')).toContain('model-unauthorized')
    for (const key of [PAYLOAD_KEY, HANDSHAKE_KEY]) expect(everything.join('\n')).not.toContain(key)
  } finally {
    provider.close()
    await rm(folder, { recursive: true })
  }
})

/** All that an error holds, at any depth. */
function described(fields: unknown): string {
  if (typeof fields !== 'object' || fields === null) return String(fields)
  return Reflect.ownKeys(fields)
    .map((name) => `${String(name)}: ${described(Reflect.get(fields, name))}`)
    .join('\n')
}
