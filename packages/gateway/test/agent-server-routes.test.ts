import { request } from 'node:http'
import { createAgent, defineTool } from '@turnpike/agents'
import { demoModel } from '@turnpike/agents/demo'
import { type ServerRoute, createServer } from '@turnpike/gateway'
import { GatewayError } from '@turnpike/protocol'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { bearer, echo, post, serveAgents, tokensAreNames } from './agent-server-harness.ts'
import { recordingLogger, testGateway } from './harness.ts'

function route(fields: Partial<ServerRoute> = {}): ServerRoute {
  return { method: 'GET', path: '/mine', handler: () => ({ ok: true }), ...fields }
}

/** Sends a body in pieces, so that nothing tells its length before. */
async function postInPieces(url: string, pieces: readonly string[]): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  const sent = request(url, { method: 'POST' }, (response) => {
    response.resume()
    resolve(response.statusCode)
  })
  sent.on('error', reject)
  for (const piece of pieces) sent.write(piece)
  sent.end()
  return promise
}

describe('a registered route', () => {
  test('is there whether it came before the start, after it, or after requests', async () => {
    const server = await createServer({ echo }, { config: { port: 0, basePath: '/api' } })
    server.registerRoute(route({ path: '/early' }))
    const url = await server.start()
    expect((await fetch(`${url}/api/early`)).status).toBe(200)
    expect((await fetch(`${url}/api/late`)).status).toBe(404)
    server.registerRoute(route({ path: '/late', method: 'get' }))
    expect(await (await fetch(`${url}/api/late`)).json()).toEqual({ ok: true })
    expect((await fetch(`${url}/late`)).status).toBe(404)
    expect((await fetch(`${url}/api/late`, { method: 'POST' })).status).toBe(404)
    expect((await fetch(`${url}/api/late`, { method: 'HEAD' })).status).toBe(200)
    await server.stop({ graceMs: 0 })
  })

  test.each([
    ['an object', { a: [1] }, 200, '{"a":[1]}'],
    ['text', 'hi', 200, '"hi"'],
    ['null', null, 200, 'null'],
    ['false', false, 200, 'false'],
    ['nothing', undefined, 204, ''],
    ['a promise', Promise.resolve({ a: 1 }), 200, '{"a":1}'],
  ])('answers %s', async (_title, result, ...[status, body]) => {
    await using server = await serveAgents()
    server.registerRoute(route({ handler: () => result }))
    const response = await fetch(`${server.url}/mine`)
    expect(response.status).toBe(status)
    expect(await response.text()).toBe(body)
    expect(response.headers.get('content-type')).toBe(status === 204 ? null : 'application/json')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('answers a Response as it is, and a status of its own', async () => {
    await using server = await serveAgents()
    server.registerRoute(route({ handler: (c) => c.text('teapot', 418, { 'x-kind': 'pot' }) }))
    server.registerRoute(
      route({
        path: '/made',
        handler: (c) => {
          c.status(201)
          return { made: true }
        },
      }),
    )
    const response = await fetch(`${server.url}/mine`)
    expect([response.status, response.headers.get('x-kind'), await response.text()]).toEqual([
      418,
      'pot',
      'teapot',
    ])
    expect((await fetch(`${server.url}/made`)).status).toBe(201)
  })

  test('has the parameters of its path; what is written out wins over them', async () => {
    await using server = await serveAgents({ basePath: '/api' })
    server.registerRoute(route({ path: '/shops/:shop/items/:item', handler: (c) => c.req.param() }))
    server.registerRoute(route({ path: '/shops/:shop/items/all', handler: () => 'all of one' }))
    server.registerRoute(route({ path: '/shops/best/items/:item', handler: () => 'one of the best' }))
    const ask = async (path: string): Promise<unknown> =>
      (await fetch(`${server.url}/api/shops${path}`)).json()
    expect(await ask('/s%201/items/2')).toEqual({ shop: 's 1', item: '2' })
    expect(await ask('/s/items/all')).toBe('all of one')
    expect(await ask('/best/items/2')).toBe('one of the best')
  })

  test.each([
    ['HEAD', '/a', '"method" has to be one of'],
    ['', '/a', '"method" has to be one of'],
    ['GET', 'a', 'begin with "/"'],
    ['GET', '', 'begin with "/"'],
    ['GET', '/a b', 'names and ":parameters"'],
    ['GET', '/a/', 'names and ":parameters"'],
    ['GET', '/a?b', 'names and ":parameters"'],
    ['GET', '/*', 'names and ":parameters"'],
    ['GET', '/..', 'names and ":parameters"'],
    ['GET', '/:id{.+}', 'names and ":parameters"'],
    ['GET', '/:id/:id', 'a parameter twice'],
    ['POST', '/v1/chat/:name', 'served already'],
    ['POST', '/v1/chat/helper', 'served already'],
    ['GET', '/health/websocket', 'served already'],
    ['GET', '/openapi.json', 'served already'],
    ['GET', '/mine/:other', 'served already'],
  ])('%s %s is refused', async (method, path, ...[message]) => {
    await using server = await serveAgents()
    server.registerRoute(route({ path: '/mine/:id' }))
    const register = (): void => server.registerRoute(route({ method: method as 'GET', path }))
    expect(register).toThrow(TypeError)
    expect(register).toThrow(message)
  })

  test('may share a path with another method, and a parameter with what is ours', async () => {
    await using server = await serveAgents()
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const) {
      server.registerRoute(route({ method, path: '/v1/:what', handler: () => method }))
      const response = await fetch(`${server.url}/v1/things`, { method })
      expect(await response.json()).toBe(method)
    }
    expect(await (await fetch(`${server.url}/v1/agents`)).json()).toMatchObject({
      agents: [{ name: 'echo' }],
    })
  })

  test('that fails answers as the others do, and leaks nothing', async () => {
    const logger = recordingLogger()
    const gateway = testGateway([], { logger })
    await using server = await serveAgents({ gateway })
    const failures: [string, unknown, number, object][] = [
      ['/known', new GatewayError('unknown-thread', 'No such thing.'), 404, { code: 'unknown-thread' }],
      [
        '/busy',
        new GatewayError('rate-limited', 'Slow.', { retryAfterMs: 2_500 }),
        429,
        { code: 'rate-limited' },
      ],
      ['/error', new Error('secret'), 500, { code: 'internal' }],
      ['/thrown', 'secret', 500, { code: 'internal' }],
    ]
    for (const [path, error, status, shown] of failures) {
      const handler = async (): Promise<never> => {
        throw error
      }
      server.registerRoute(route({ path, handler }))
      const response = await fetch(`${server.url}${path}`)
      const text = await response.text()
      expect(response.status).toBe(status)
      expect(JSON.parse(text)).toMatchObject({ error: shown })
      expect(text).not.toContain('secret')
      expect(response.headers.get('retry-after')).toBe(status === 429 ? '3' : null)
    }
    server.registerRoute(route({ path: '/nojson', handler: () => Symbol('secret') }))
    expect((await fetch(`${server.url}/nojson`)).status).toBe(500)
    expect(logger.errors).toHaveLength(3)
    await gateway.drain(0)
  })

  test('takes a body of its limit and no more, whether its length is told or not', async () => {
    await using server = await serveAgents({ limits: { frameBytes: 10 } })
    server.registerRoute(route({ method: 'POST', handler: (c) => c.req.text() }))
    const url = `${server.url}/mine`
    expect(await (await fetch(url, { method: 'POST', body: '1234567890' })).json()).toBe('1234567890')
    const tooLong = await fetch(url, { method: 'POST', body: '12345678901' })
    expect(tooLong.status).toBe(413)
    expect(await tooLong.json()).toMatchObject({ error: { code: 'payload-too-large' } })
    expect(await postInPieces(url, ['12345', '67890'])).toBe(200)
    expect(await postInPieces(url, ['12345', '67890', '1'])).toBe(413)
  })

  test('is closed to origins that are not allowed', async () => {
    await using server = await serveAgents({ cors: ['https://app.example'] })
    server.registerRoute(route())
    const from = (origin: string): Promise<Response> => fetch(`${server.url}/mine`, { headers: { origin } })
    expect((await from('https://evil.example')).status).toBe(403)
    const allowed = await from('https://app.example')
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example')
  })
})

describe('where the server asks who somebody is', () => {
  test('a route does, too, and knows who it is; an open one asks nobody', async () => {
    await using server = await serveAgents({ auth: tokensAreNames })
    server.registerRoute(route({ handler: ({ var: { user } }) => user?.id }))
    server.registerRoute(
      route({ path: '/open', open: true, handler: ({ var: { user } }) => user ?? 'nobody' }),
    )
    server.registerRoute(
      route({ path: '/maybe', open: true, handler: async (c) => (await c.env.admit()).id }),
    )
    for (const path of ['/mine', '/maybe', '/openapi.json']) {
      for (const headers of [{}, bearer('nobody'), bearer('')]) {
        const response = await fetch(`${server.url}${path}`, { headers })
        expect(response.status).toBe(401)
        expect(response.headers.get('www-authenticate')).toBe('Bearer')
      }
    }
    for (const path of ['/mine', '/maybe']) {
      expect(await (await fetch(`${server.url}${path}`, { headers: bearer('ada') })).json()).toBe('ada')
    }
    expect(await (await fetch(`${server.url}/open`)).json()).toBe('nobody')
  })

  test('a route counts against what a user may ask', async () => {
    await using server = await serveAgents({ auth: tokensAreNames, limits: { userCommandsPerMinute: 1 } })
    server.registerRoute(route())
    const ask = (): Promise<Response> => fetch(`${server.url}/mine`, { headers: bearer('ada') })
    expect((await ask()).status).toBe(200)
    expect((await ask()).status).toBe(429)
  })
})

describe('the document of the routes', () => {
  test('has each with its words, its parameters and its security', async () => {
    await using server = await serveAgents({ basePath: '/api', auth: tokensAreNames })
    const words = { description: 'One report.', tags: ['reports'] }
    server.registerRoute(route({ path: '/reports/:id', ...words }))
    server.registerRoute(route({ path: '/reports/:id', method: 'DELETE', open: true }))
    const response = await fetch(`${server.url}/api/openapi.json`, { headers: bearer('ada') })
    expect(await response.json()).toMatchObject({
      openapi: '3.1.0',
      info: { title: expect.any(String), version: expect.any(String) },
      paths: {
        '/api/reports/{id}': {
          get: {
            ...words,
            security: [{ bearer: [] }],
            parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
          },
          delete: { responses: { default: expect.any(Object) } },
        },
      },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    })
  })

  test('names no security where nobody is asked', async () => {
    await using server = await serveAgents()
    server.registerRoute(route())
    const text = await (await fetch(`${server.url}/openapi.json`)).text()
    expect(text).toContain('"/mine"')
    expect(text).not.toMatch(/security/i)
  })
})

test('agents are called from routes: whole, in pieces, and by a tool', async () => {
  const add = defineTool({
    name: 'add',
    description: 'Adds.',
    parameters: z.object({ a: z.number(), b: z.number() }),
    execute: async ({ a, b }) => a + b,
  })
  const model = demoModel({ tokensPerSecond: 0 })
  const helper = createAgent({ name: 'helper', model, tools: [add], register: false })
  await using server = await serveAgents({}, { helper })
  server.registerRoute(
    route({
      method: 'POST',
      path: '/greetings',
      handler: async (c) => ({ text: (await helper.generate(await c.req.text())).text }),
    }),
  )
  server.registerRoute(
    route({
      path: '/words',
      async handler() {
        const stream = helper.stream('Hello')
        let count = 0
        for await (const _ of stream) count++
        return { count }
      },
    }),
  )
  server.registerRoute(route({ path: '/sums', handler: () => helper.executeTool('add', { a: 1, b: 2 }) }))
  const answer = (await (await post(`${server.url}/greetings`, 'Hello')).json()) as { text: string }
  expect(answer.text.length).toBeGreaterThan(0)
  const { count } = (await (await fetch(`${server.url}/words`)).json()) as { count: number }
  expect(count).toBeGreaterThan(1)
  expect(await (await fetch(`${server.url}/sums`)).json()).toBe(3)
})

test('a body that is no JSON is the client’s mistake', async () => {
  const logger = recordingLogger()
  await using server = await serveAgents({ gateway: testGateway([], { logger }) })
  server.registerRoute({ method: 'POST', path: '/texts', handler: (c) => c.req.json() })
  const refused = await fetch(`${server.url}/texts`, { method: 'POST', body: '{"text":' })
  expect(refused.status).toBe(400)
  expect(await refused.json()).toMatchObject({ error: { code: 'invalid-frame' } })
  expect(await (await post(`${server.url}/texts`, { text: 'hi' })).json()).toEqual({ text: 'hi' })
  expect(logger.errors).toEqual([])
})

test.each([0, 2])('a stream that breaks off after %i pieces tells nothing of why', async (pieces) => {
  const logger = recordingLogger()
  await using server = await serveAgents({ gateway: testGateway([], { logger }) })
  const told = vi.spyOn(console, 'error').mockImplementation(() => {})
  server.registerRoute({
    method: 'GET',
    path: '/broken',
    handler() {
      const words = async function* (): AsyncGenerator<Uint8Array> {
        for (let piece = 0; piece < pieces; piece++) yield new TextEncoder().encode('word ')
        throw new Error('password=hunter2')
      }
      return new Response(ReadableStream.from(words()))
    },
  })
  const text = await fetch(`${server.url}/broken`)
    .then((response) => response.text())
    .catch(String)
  expect(text).not.toContain('hunter2')
  expect(String(told.mock.calls)).not.toContain('hunter2')
  expect(logger.errors).toMatchObject([{ error: { message: 'password=hunter2' } }])
  told.mockRestore()
})
