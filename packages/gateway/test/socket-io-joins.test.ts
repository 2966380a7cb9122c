import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { countingAgent, scriptedAgent } from '@turnpike/testkit'
import { connectSocketIo } from '@turnpike/testkit/socket-io'
import { type Socket, Server } from 'socket.io'
import { describe, expect, test } from 'vitest'
import { serveAgentGateway } from './agent-gateway-harness.ts'
import { testGateway } from './harness.ts'
import { rawClient, rawPolling } from './raw-socket-io.ts'
import { serveThreads } from './thread-server.ts'

/** Verdicts that nobody gives, and how often they were asked for. */
function undecided(): { authenticate: () => Promise<null>; asked: () => number } {
  let asked = 0
  return {
    authenticate: () => {
      asked++
      return new Promise<null>(() => {})
    },
    asked: () => asked,
  }
}

const chat = (agent: string): string => `/agents/${agent}/chat/stream`

test('a message without anything in it ends its connection, and no more', async () => {
  const { authenticate } = undecided()
  await using server = await serveThreads([countingAgent()], { authenticate })
  const { closed } = await rawClient(`${server.baseUrl}/streaming`, ['40{"token":"x"}', '4'])
  await closed
  expect((await fetch(`${server.baseUrl}/healthz`)).status).toBe(200)
})

test('ten thousand connects in one request take no place, and close the connection', async () => {
  await using server = await serveThreads([countingAgent()], { limits: { connections: 5 } })
  const { engine } = server.stream.io
  const { post } = await rawPolling(`${server.baseUrl}/streaming`)
  await post(Array.from({ length: 10_000 }, () => '40'))
  await expect.poll(() => engine.clientsCount).toBe(0)
  expect(server.gateway.connectionCount).toBe(0)
  await using other = await connectSocketIo({ url: server.baseUrl })
  expect(other.socket.connected).toBe(true)
})

test('ten thousand connects to what is not there close the connection', async () => {
  await using server = await serveThreads([countingAgent()])
  const { closed, socket, said } = await rawClient(`${server.baseUrl}/streaming`)
  for (let n = 0; n < 10_000; n++) socket.send('40/none,')
  await closed
  expect(said.length).toBeLessThan(200)
})

test('those who are being let in have their places already', async () => {
  const verdicts: ((who: { id: string }) => void)[] = []
  const authenticate = (): Promise<{ id: string }> => new Promise((resolve) => verdicts.push(resolve))
  await using server = await serveThreads([countingAgent()], { authenticate, limits: { connections: 2 } })
  const url = `${server.baseUrl}/streaming`
  const first = await rawClient(url, ['40{"token":"x"}'])
  const second = await rawClient(url, ['40{"token":"x"}'])
  await expect.poll(() => verdicts.length).toBe(2)
  const third = await rawClient(url, ['40{"token":"x"}'])
  expect(await third.next('44')).toContain('too-many-connections')
  second.socket.terminate()
  await expect.poll(() => server.stream.io.engine.clientsCount).toBe(2)
  const fourth = await rawClient(url, ['40{"token":"x"}'])
  await expect.poll(() => verdicts.length).toBe(3)
  for (const decide of verdicts) decide({ id: 'ada' })
  await Promise.all([first.next('40'), fourth.next('40')])
  expect(server.gateway.connectionCount).toBe(2)
  first.socket.terminate()
  await expect.poll(() => server.gateway.connectionCount).toBe(1)
  third.send('40{"token":"x"}')
  await expect.poll(() => verdicts.length).toBe(4)
  for (const { socket } of [third, fourth]) socket.terminate()
})

test('before it is authenticated, one connection asks no authenticator a thousand times', async () => {
  const { authenticate, asked } = undecided()
  await using server = await serveThreads([countingAgent()], { authenticate })
  const { post } = await rawPolling(`${server.baseUrl}/streaming`)
  await post(Array.from({ length: 1_000 }, (_, n) => `40${chat(`a${n}`)},{"token":"x"}`))
  await expect.poll(() => server.stream.io.engine.clientsCount).toBe(0)
  expect(asked()).toBeLessThanOrEqual(server.gateway.limits.earlyFrames)
})

test.each([
  ['is within its bound', 32_000, 'unauthorized'],
  ['is larger', 33_000, 'payload-too-large'],
])('what a connect brings along %s', async (_title, length, code) => {
  await using server = await serveThreads([countingAgent()], { authenticate: async () => null })
  const auth = { token: 'x', padding: 'x'.repeat(length) }
  await expect(connectSocketIo({ url: server.baseUrl, auth })).rejects.toMatchObject({ data: { code } })
})

test('a connection is in so many namespaces, and in another one once it has left', async () => {
  const agents = ['a', 'b', 'c'].map((name) => scriptedAgent(name, ['Hi.']))
  await using server = await serveThreads(agents, { limits: { namespaces: 2 } })
  const { next, send, socket } = await rawClient(`${server.baseUrl}/streaming`, [
    `40${chat('a')},`,
    `40${chat('b')},`,
  ])
  await Promise.all([next(`40${chat('a')},`), next(`40${chat('b')},`)])
  send(`40${chat('c')},`)
  expect(await next(`44${chat('c')},`)).toContain('too-many-connections')
  send(`41${chat('a')},`)
  send(`40${chat('c')},`)
  await next(`40${chat('c')},`)
  socket.terminate()
})

describe('the namespace of an agent', () => {
  test.each(['%63ounter', 'my agent', 'a%2fb', '%E0%A4%A'])('is not spelled %j', async (spelled) => {
    const agents = ['counter', 'my agent', 'a/b', '%E0%A4%A'].map((name) => scriptedAgent(name, ['Hi.']))
    await using server = await serveThreads(agents)
    const refused = connectSocketIo({ url: server.baseUrl, namespace: chat(spelled) })
    await expect(refused).rejects.toMatchObject({ data: { code: 'unknown-agent' } })
  })

  test.each([false, true])(
    'tells strangers nothing of which there are (one server for all: %s)',
    async (shared) => {
      const agents = [scriptedAgent('there', ['Hi.'])]
      const gateway = testGateway(agents, { authenticate: async (id) => (id === 'ada' ? { id } : null) })
      const http = createServer()
      const io = new Server(http)
      const stream = createThreadStream(shared ? { io, gateway } : { server: http, gateway })
      await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
      const path = shared ? '/socket.io' : '/streaming'
      const refusals = ['there', 'nowhere'].map((agent) =>
        connectSocketIo({ url, path, namespace: chat(agent) }).catch((error: unknown) => error),
      )
      const [known, unknown] = await Promise.all(refusals)
      expect(known).toMatchObject({ data: { code: 'unauthorized' } })
      expect(unknown).toMatchObject({ data: (known as { data: unknown }).data })
      const auth = { token: 'ada' }
      await expect(connectSocketIo({ url, path, namespace: chat('nowhere'), auth })).rejects.toMatchObject({
        data: { code: 'unknown-agent' },
      })
      expect([...stream.io._nsps.keys()].filter((name) => name.includes('agents'))).toEqual([])
      await stream.close()
      await io.close()
      await gateway.drain(0)
    },
  )
})

describe('the agent gateway', () => {
  const url = (server: { url: string }): string => `${server.url}/socket.io`
  const join = '40/turnpike,'

  test.each(['put on a server', 'put on one later'])(
    'holds what comes early on a Socket.IO %s',
    async (when) => {
      const decided = Promise.withResolvers<void>()
      const options = {
        agents: {},
        authMiddleware: (_socket: unknown, next: () => void) => void decided.promise.then(next),
      }
      await using server = await serveAgentGateway(options, { late: when !== 'put on a server' })
      const client = await rawClient(url(server), [join, '42/turnpike,7["registry.list",{}]'])
      decided.resolve()
      expect(await client.next('43/turnpike,7')).toContain('agents')
      client.socket.terminate()
    },
  )

  test('does so beside listeners that the app has on the connection', async () => {
    const decided = Promise.withResolvers<void>()
    const authMiddleware = (_socket: unknown, next: () => void): void => void decided.promise.then(next)
    await using server = await serveAgentGateway({ agents: {}, authMiddleware })
    const seen: unknown[] = []
    server.io.engine.prependListener('connection', (connection: Socket['conn']) => {
      connection.on('data', () => seen.push('first'))
    })
    const behind = (connection: Socket['conn']): unknown => connection.on('data', () => seen.push('last'))
    server.io.engine.on('connection', behind)
    const client = await rawClient(url(server), [join, '42/turnpike,7["registry.list",{}]'])
    await expect.poll(() => seen.length).toBe(4)
    decided.resolve()
    await client.next('43/turnpike,7')
    expect(seen).toHaveLength(4)
    client.socket.terminate()
  })

  test('lets nobody in twice, nor asks about it', async () => {
    let asked = 0
    const authMiddleware = (): void => void asked++
    await using server = await serveAgentGateway({ agents: {}, authMiddleware })
    const { closed } = await rawClient(url(server), Array(1_000).fill(join))
    await closed
    expect(asked).toBeLessThanOrEqual(1)
    expect(server.gateway.connectionCount).toBe(0)
  })

  test('leaves namespaces of the app as they are', async () => {
    await using server = await serveAgentGateway({ agents: {} })
    server.io.of(/^\/app\d+$/)
    const names = Array.from({ length: 150 }, (_, n) => `/app${n}`)
    const client = await rawClient(
      url(server),
      names.map((name) => `40${name},{"large":"${'x'.repeat(40_000)}"}`),
    )
    await Promise.all(names.map((name) => client.next(`40${name},`)))
    client.socket.terminate()
  })

  test('does not count anew who leaves and joins again', async () => {
    await using server = await serveAgentGateway({ agents: {}, maxRequestsPerMinute: 3 })
    const client = await rawClient(url(server))
    const answers: string[] = []
    for (let n = 0; n < 3; n++) {
      client.said.length = 0
      client.send(join)
      await client.next('40/turnpike,')
      for (const id of [`${n + 1}1`, `${n + 1}2`]) {
        client.send(`42/turnpike,${id}["registry.list",{}]`)
        answers.push(await client.next(`43/turnpike,${id}`))
      }
      client.send('41/turnpike,')
      await expect.poll(() => server.gateway.connectionCount).toBe(0)
    }
    expect(answers.filter((answer) => answer.includes('rate-limited'))).toHaveLength(3)
    client.socket.terminate()
  })
})

test('how fast one may send is counted over all that a connection joins', async () => {
  const limits = { framesPerSecond: 0.001, frameBurst: 3 }
  await using server = await serveThreads([countingAgent()], { limits })
  const client = await rawClient(`${server.baseUrl}/streaming`)
  const answers: string[] = []
  for (let n = 0; n < 3; n++) {
    client.said.length = 0
    client.send('40')
    await client.next('40')
    for (const id of [`${n + 1}1`, `${n + 1}2`]) {
      client.send(`42${id}["run.cancel",{"runId":"none"}]`)
      answers.push(await client.next(`43${id}`))
    }
    client.send('41')
    await expect.poll(() => server.gateway.connectionCount).toBe(0)
  }
  expect(answers.filter((answer) => answer.includes('rate-limited'))).toHaveLength(3)
  client.socket.terminate()
})
