import type { Identity } from '@turnpike/gateway'
import { puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { serveChat } from './chat-server.ts'

/** Tokens are names; "nobody" is refused, and "broken" is a case of its own. */
async function auth(token: string): Promise<Identity | null> {
  if (token === 'broken') throw new Error('secret')
  return token === 'nobody' ? null : { id: token }
}

/** An authenticator that decides when it is told to. */
function slowAuth(): { auth: typeof auth; asked: Promise<void>; decide: () => void } {
  const gate = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  return {
    asked: asked.promise,
    decide: gate.resolve,
    async auth(token) {
      asked.resolve()
      await gate.promise
      return auth(token)
    },
  }
}

const agents = { echo: scriptedAgent('echo', ['hello']) }
const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

describe('a socket of a service that asks who somebody is', () => {
  test('may bring the token with the request, or as its first frame', async () => {
    await using service = await serveChat(agents, { auth })
    const early = await service.connect('/ws', { headers: bearer('ada') })
    early.chat('hi')
    expect(await early.next('done')).toMatchObject({ text: 'hello' })
    const late = await service.connect()
    late.send({ type: 'auth', token: 'ada' })
    late.chat('hi')
    expect(await late.next('done')).toMatchObject({ text: 'hello' })
    expect(late.told[0]?.type).toBe('chunk')
  })

  test('may come with a ticket', async () => {
    await using service = await serveChat(agents, { auth })
    const response = await fetch(`${service.url}/v1/tickets`, { method: 'POST', headers: bearer('ada') })
    const { ticket } = (await response.json()) as { ticket: string }
    const client = await service.connect(`/ws?ticket=${ticket}`)
    client.chat('hi')
    expect(await client.next('done')).toMatchObject({ text: 'hello' })
  })

  test.each([
    [{ headers: bearer('nobody') }, undefined, 4401, 'unauthorized'],
    [{ headers: bearer('') }, undefined, 4401, 'unauthorized'],
    [{ headers: bearer('broken') }, undefined, 4500, 'internal'],
    [{}, { type: 'auth', token: 'nobody' }, 4401, 'unauthorized'],
    [{}, { type: 'auth', token: 7 }, 4401, 'unauthorized'],
    [{}, { type: 'chat', message: 'hi' }, 4401, 'unauthorized'],
    [{}, { type: 'ping' }, 4401, 'unauthorized'],
  ] as const)('is refused with %j and %j', async (...[options, first, close, code]) => {
    await using service = await serveChat(agents, { auth })
    const client = await service.connect('/ws', options)
    if (first) client.send(first)
    expect(await client.closed).toBe(close)
    expect(client.told.at(-1)).toMatchObject({ type: 'error', code })
    expect(client.told.filter((frame) => frame['code'] === code)).toHaveLength(1)
    expect(JSON.stringify(client.told)).not.toContain('secret')
  })

  test('loses no frame to a slow verdict, and is told nothing before it', async () => {
    const slow = slowAuth()
    await using service = await serveChat(agents, { auth: slow.auth, limits: { pingIntervalMs: 20 } })
    const client = await service.connect('/ws', { headers: bearer('ada') })
    for (const runId of ['r1', 'r2', 'r3']) client.chat('hi', { runId })
    client.send({ type: 'ping' })
    await slow.asked
    await using clock = await serveChat(agents, { limits: { pingIntervalMs: 20 } })
    await (await clock.connect()).atLeast(4, 'ping')
    const other = await service.connect('/ws', { headers: bearer('eve') })
    other.chat('hi')
    expect([...client.told, ...client.pings, ...other.told]).toEqual([])
    slow.decide()
    await client.next('done', 'r3')
    expect(client.all('done').map(({ runId }) => runId)).toEqual(['r1', 'r2', 'r3'])
    expect(client.all('pong')).toHaveLength(1)
  })

  test('that says too much before the verdict is cut, and nothing of it is done', async () => {
    const agent = puppetAgent('puppet')
    const slow = slowAuth()
    await using service = await serveChat({ agent }, { auth: slow.auth, limits: { earlyFrames: 2 } })
    const client = await service.connect('/ws', { headers: bearer('ada') })
    for (let n = 0; n < 5; n++) client.chat('hi', { sessionId: 's1' })
    expect(await client.closed).toBe(4429)
    expect(client.told).toMatchObject([{ type: 'error', code: 'early-overflow' }])
    slow.decide()
    expect((await fetch(`${service.url}/v1/sessions/s1`, { headers: bearer('ada') })).status).toBe(404)
  })

  test('that never says who it is, is cut', async () => {
    await using service = await serveChat(agents, { auth, limits: { earlyMs: 50 } })
    const client = await service.connect()
    expect(await client.closed).toBe(4408)
    expect(client.told).toMatchObject([{ type: 'error', code: 'auth-timeout' }])
  })

  test('has sessions and runs of its own', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent }, { auth })
    const ada = await service.connect('/ws', { headers: bearer('ada') })
    const eve = await service.connect('/ws', { headers: bearer('eve') })
    ada.chat('mine', { sessionId: 's1', runId: 'r1' })
    const run = await agent.nextRun()
    eve.chat('mine', { sessionId: 's1', runId: 'r1' })
    const other = await agent.nextRun()
    expect(other.input.history).toEqual([])
    other.end()
    await eve.next('done', 'r1')
    eve.send({ type: 'cancel', runId: 'r2' })
    expect(await eve.next('error')).toMatchObject({ code: 'unknown-run' })
    expect(run.context.signal.aborted).toBe(false)
    run.end()
    await ada.next('done', 'r1')
    expect(eve.all('done')).toHaveLength(1)
    const headers = bearer('mallory')
    expect((await fetch(`${service.url}/v1/sessions/s1`, { headers })).status).toBe(404)
    expect((await fetch(`${service.url}/v1/runs/r1/cancel`, { method: 'POST', headers })).status).toBe(404)
  })
})

test('every route of such a service but health asks who somebody is', async () => {
  await using service = await serveChat(agents, { auth })
  const routes = [
    ['GET', '/v1/agents'],
    ['GET', '/v1/sessions/s1'],
    ['POST', '/v1/chat/echo'],
    ['POST', '/v1/runs/r1/cancel'],
    ['POST', '/v1/tickets'],
  ] as const
  for (const [method, path] of routes) {
    for (const headers of [{}, bearer('nobody'), bearer('')]) {
      const response = await fetch(`${service.url}${path}`, { method, headers })
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toBe('Bearer')
    }
  }
  expect((await fetch(`${service.url}/health`)).status).toBe(200)
  const answer = await service.chat('echo', { message: 'hi' }, bearer('ada'))
  expect(await answer.json()).toMatchObject({ text: 'hello' })
})
