import { Registry } from '@turnpike/agents'
import { type AgentServerOptions, createAgentWebSocketHandler, createServer } from '@turnpike/gateway'
import { puppetAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { WebSocketConnectionManager } from '../src/manager/index.ts'
import { type ServedAgentServer, echo, post, serveAgents } from './agent-server-harness.ts'
import { testGateway } from './harness.ts'
import { type Client, openClient } from './manager-server.ts'

function connect({ url }: ServedAgentServer, path: string): Promise<Client> {
  return openClient(`${url.replace('http', 'ws')}${path}`)
}

describe('a server of agents', () => {
  test('serves chat JSON below its base path, and nothing beside that', async () => {
    await using server = await serveAgents({ basePath: '/api' })
    const answer = await post(`${server.url}/api/v1/chat/echo`, { message: 'hi' })
    expect(await answer.json()).toMatchObject({ text: 'hello', finishReason: 'stop', agent: 'echo' })
    for (const path of ['/v1/agents', '/health', '/api/v2', '/apiv1/agents']) {
      const missing = await fetch(`${server.url}${path}`)
      expect(missing.status).toBe(404)
      expect(await missing.json()).toMatchObject({ error: { code: 'unknown-route' } })
    }
    for (const path of [
      '/v1/agents',
      '/health',
      '/healthz',
      '/readyz',
      '/health/websocket',
      '/openapi.json',
    ]) {
      expect((await fetch(`${server.url}/api${path}`)).status).toBe(200)
    }
  })

  test.each([
    ['one agent', echo],
    ['agents by name', { echo }],
    ['a list', [echo]],
    ['a registry', new Registry([echo])],
  ])('takes %s', async (_title, agents) => {
    await using server = await serveAgents({}, agents)
    const { agents: listed } = (await (await fetch(`${server.url}/v1/agents`)).json()) as { agents: object[] }
    expect(listed).toMatchObject([{ name: 'echo' }])
    expect((await post(`${server.url}/v1/chat/echo`, { message: 'hi' })).status).toBe(200)
  })

  test('serves what joins a registry later', async () => {
    const registry = new Registry()
    await using server = await serveAgents({ limits: {} }, registry)
    registry.add(echo)
    expect((await post(`${server.url}/v1/chat/echo`, { message: 'hi' })).status).toBe(200)
  })

  test.each([
    ['another framework', { framework: 'express' }, '"hono", the only one'],
    ['a base path without a slash', { config: { basePath: 'api' } }, 'begin with "/"'],
    ['a base path of nothing', { config: { basePath: '//' } }, 'no parameters'],
    ['a base path with a parameter', { config: { basePath: '/:tenant' } }, 'no parameters'],
    [
      'a gateway and what one is made of',
      { config: { gateway: testGateway([]), auth: async () => null } },
      'no gateway',
    ],
  ])('is refused with %s', async (_title, options, message) => {
    const making = createServer({ echo }, options as AgentServerOptions)
    await expect(making).rejects.toThrow(message)
    await expect(making).rejects.toBeInstanceOf(TypeError)
  })
})

describe('connection managers of a server', () => {
  test('cannot have a path twice', async () => {
    const managers = [new WebSocketConnectionManager(), new WebSocketConnectionManager()]
    for (const manager of managers) manager.registerHandler('/ws', {})
    const server = await createServer({ echo }, { config: { gateway: testGateway([]), websocket: managers } })
    await expect(server.initialize()).rejects.toThrow(TypeError)
    await server.stop()
  })

  test('are at their own paths, serve agents, and are told of together', async () => {
    const gateway = testGateway([])
    const agents = new WebSocketConnectionManager({ maxConnections: 5 })
    agents.registerHandler('/ws', createAgentWebSocketHandler({ echo }, { gateway }))
    const others = new WebSocketConnectionManager({ path: '/news', maxConnections: 7 })
    await using server = await serveAgents({ basePath: '/api', gateway, websocket: [agents, others] })
    await using client = await connect(server, '/ws')
    expect(await client.inbox.next()).toMatchObject({ type: 'connected' })
    client.send({ type: 'generate', payload: { prompt: 'hi' } })
    expect(await client.inbox.next()).toMatchObject({ type: 'response', content: 'hello' })
    await using reader = await connect(server, '/news')
    expect(reader.socket.readyState).toBe(reader.socket.OPEN)
    const health = await fetch(`${server.url}/api/health/websocket`)
    expect(health.status).toBe(200)
    expect(await health.json()).toEqual({
      status: 'ok',
      connections: { total: 2, maxConnections: 12, paths: { '/ws': 1, '/news': 1 } },
    })
    await gateway.drain(0)
  })

  test('are attached once, by initialize or by start', async () => {
    const manager = new WebSocketConnectionManager()
    await using server = await serveAgents({ websocket: [manager] })
    await server.initialize()
    await server.start()
    await using client = await connect(server, '/ws')
    expect(client.socket.readyState).toBe(client.socket.OPEN)
    expect(manager.getConnectionCount()).toBe(1)
  })
})

describe('the life of a server', () => {
  test('start listens once, and says where', async () => {
    await using server = await serveAgents()
    expect(await server.start()).toBe(server.url)
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  })

  test('a port that is taken is an error, and start may be tried again', async () => {
    await using first = await serveAgents()
    const port = Number(new URL(first.url).port)
    const second = await createServer({ echo }, { config: { port } })
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await first.stop()
    expect(await second.start()).toBe(first.url)
    await second.stop()
  })

  test('stop lets runs, requests and their sockets end, and refuses new ones meanwhile', async () => {
    const agent = puppetAgent('puppet')
    const manager = new WebSocketConnectionManager()
    await using server = await serveAgents({ limits: {}, websocket: [manager] }, { agent })
    manager.registerHandler('/ws', createAgentWebSocketHandler({ agent }, server))
    const entered = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    server.registerRoute({
      method: 'GET',
      path: '/slow',
      async handler() {
        entered.resolve()
        await gate.promise
        return { done: true }
      },
    })
    await using client = await connect(server, '/ws')
    await using idle = await connect(server, '/ws')
    client.send({ type: 'generate', payload: { prompt: 'hi' } })
    const run = await agent.nextRun()
    const slow = fetch(`${server.url}/slow`)
    await entered.promise
    const stopping = server.stop({ windowMs: 0 })
    expect(server.stop()).toBe(stopping)
    await expect(connect(server, '/ws')).rejects.toThrow('503')
    expect((await fetch(`${server.url}/slow`)).status).toBe(503)
    const health = await fetch(`${server.url}/health/websocket`)
    expect(health.status).toBe(503)
    expect(await health.json()).toMatchObject({ status: 'draining', connections: { total: 2 } })
    await run.say('Whole.')
    gate.resolve()
    expect(await (await slow).json()).toEqual({ done: true })
    run.end()
    const told = (await client.inbox.until((frame) => isOf(frame, 'response'))) as { type: string }[]
    expect(told.at(-1)).toMatchObject({ content: 'Whole.' })
    await idle.inbox.until((frame) => isOf(frame, 'error'))
    expect(await idle.closed).toMatchObject({ code: 1012 })
    await stopping
    await expect(fetch(server.url)).rejects.toThrow()
  })

  test('stop lets requests end where the gateway is somebody else’s, too, and takes no new ones', async () => {
    const gateway = testGateway([])
    const agent = puppetAgent('puppet')
    const server = await serveAgents({ gateway }, { agent })
    const answer = post(`${server.url}/v1/chat/agent`, { message: 'hi' })
    const run = await agent.nextRun()
    const stopping = server.stop()
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
    const refused = await post(`${server.url}/v1/chat/agent`, { message: 'more' })
    expect(await refused.json()).toMatchObject({ error: { code: 'draining' } })
    await run.say('Whole.')
    run.end()
    expect(await (await answer).json()).toMatchObject({ text: 'Whole.' })
    await stopping
    expect(gateway.isDraining).toBe(false)
    await gateway.drain(0)
  })

  test('stop drains the gateway that is its own: a run may end', async () => {
    const agent = puppetAgent('puppet')
    const server = await serveAgents({ limits: {} }, { agent })
    const answer = post(`${server.url}/v1/chat/agent`, { message: 'hi' })
    const run = await agent.nextRun()
    const stopping = server.stop()
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
    await run.say('Whole.')
    run.end()
    expect(await (await answer).json()).toMatchObject({ text: 'Whole.', finishReason: 'stop' })
    await stopping
  })

  test('a request that does not end holds up a stop for no longer than the grace', async () => {
    await using server = await serveAgents()
    const entered = Promise.withResolvers<void>()
    server.registerRoute({
      method: 'GET',
      path: '/never',
      handler: () => (entered.resolve(), new Promise(() => {})),
    })
    const never = fetch(`${server.url}/never`)
    never.catch(() => {})
    await entered.promise
    await server.stop({ graceMs: 1, windowMs: 0 })
    await expect(never).rejects.toThrow()
  })

  test('stop before start is good, and nothing starts after a stop', async () => {
    const server = await createServer({ echo })
    await server.stop()
    await server.stop()
    await expect(server.start()).rejects.toMatchObject({ code: 'draining' })
    await expect(server.initialize()).rejects.toMatchObject({ code: 'draining' })
    const started = await serveAgents()
    await started.stop()
    await expect(started.start()).rejects.toMatchObject({ code: 'draining' })
    const both = await createServer({ echo }, { config: { port: 0 } })
    const starting = both.start()
    await both.stop()
    await expect(starting).rejects.toMatchObject({ code: 'draining' })
    expect(both.server.listening).toBe(false)
  })
})

function isOf(frame: unknown, type: string): boolean {
  return typeof frame === 'object' && frame !== null && 'type' in frame && frame.type === type
}
