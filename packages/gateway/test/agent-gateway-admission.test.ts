import { defineAgent } from '@turnpike/agents'
import { describe, expect, test } from 'vitest'
import type { AgentGatewayOptions } from '@turnpike/gateway'
import { type AgentServer, serveAgentGateway } from './agent-gateway-harness.ts'

type AuthMiddleware = NonNullable<AgentGatewayOptions['authMiddleware']>

/** Tells who is asking. */
const whoami = defineAgent({
  name: 'whoami',
  register: false,
  async *run(_input, { principal: { id, roles = [], permissions = [] } }) {
    yield JSON.stringify({ id, roles, permissions })
  },
})

async function principalOf(server: AgentServer, auth: object = {}): Promise<unknown> {
  const client = await server.connect({ auth: { ...auth } }).connected
  const runId = await client.run('agent.run', { name: 'whoami', input: 'Hi' })
  const { output } = await client.next('agent.done', runId)
  return JSON.parse(String(Reflect.get(Object(output), 'text')))
}

function named(socket: Parameters<AuthMiddleware>[0], userId: unknown, next: () => void): void {
  socket.data.userId = userId
  next()
}

const nobody = { roles: [], permissions: [] }

describe('who a socket is of', () => {
  test.each<[string, AuthMiddleware, object]>([
    ['socket.data.user', (socket) => (socket.data.user = { id: 'ada' }), { id: 'ada' }],
    ['socket.data.userId', (socket) => (socket.data.userId = 'ada'), { id: 'ada' }],
    ['socket.userId', (socket) => Object.assign(socket, { userId: 'ada' }), { id: 'ada' }],
    ['a number', (socket) => (socket.data.userId = 7), { id: '7' }],
    [
      'the first of them',
      (socket) => {
        Object.assign(socket, { userId: 'c' })
        socket.data = { user: { id: 'a' }, userId: 'b' }
      },
      { id: 'a' },
    ],
    ['nobody', () => {}, { id: 'anonymous' }],
    [
      'rights of the right kind',
      (socket) => (socket.data.user = { id: 'ada', roles: ['team'], permissions: 'all' }),
      { id: 'ada', roles: ['team'] },
    ],
  ])('is what a middleware sets: %s', async (_title, set, expected) => {
    const authMiddleware: AuthMiddleware = (socket, next) => {
      set(socket, next)
      next()
    }
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware })
    expect(await principalOf(server)).toStrictEqual({ ...nobody, ...expected })
  })

  test('is nobody, and not anonymous, where a middleware sets a user without an id', async () => {
    const authMiddleware: AuthMiddleware = (socket, next) => {
      socket.data.user = { sub: 'ada' }
      next()
    }
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware })
    expect((await server.connect().refusal).data).toMatchObject({ code: 'unauthorized' })
  })

  test('is anonymous without a middleware, whatever the client says', async () => {
    await using server = await serveAgentGateway({ agents: { whoami } })
    expect(await principalOf(server, { userId: 'ada', user: { id: 'ada' } })).toMatchObject({
      id: 'anonymous',
    })
  })

  test('is asked of the gateway where that authenticates, and no middleware has said', async () => {
    const machine = {
      authenticate: async (token: string) => (token === 'good' ? { id: 'ada' } : null),
    }
    await using server = await serveAgentGateway({ agents: { whoami } }, { machine })
    expect(await principalOf(server, { token: 'good' })).toMatchObject({ id: 'ada' })
    for (const auth of [{}, { token: 'bad' }, { token: 7 }]) {
      const { data } = await server.connect({ auth }).refusal
      expect(data).toMatchObject({ code: 'unauthorized' })
    }
  })
})

describe('a connection that the server recovers', () => {
  const socketIo = { connectionStateRecovery: {} }
  /** Who a client is before and after its connection was cut. */
  async function recovered(options: Omit<AgentGatewayOptions, 'io'>, cut?: (server: AgentServer) => void) {
    const server = await serveAgentGateway({ agents: { whoami }, ...options }, { socketIo })
    const client = await server.connect({ auth: { token: 'ada' }, reconnection: true, reconnectionDelay: 1 })
      .connected
    // Only what Socket.IO sends itself gives a client a place to come back to.
    server.io.of('/turnpike').emit('place')
    await client.next('place')
    cut?.(server)
    const back = new Promise<void>((resolve) => client.socket.once('connect', resolve))
    client.socket.io.engine.close()
    await back
    expect(client.socket.recovered).toBe(true)
    return { server, client }
  }

  test.each<[string, AuthMiddleware, string]>([
    ['socket.userId', (socket) => Object.assign(socket, { userId: 'ada' }), 'ada'],
    ['socket.data', (socket) => (socket.data.userId = 'ada'), 'ada'],
    ['nobody', () => {}, 'anonymous'],
  ])('is of whom it was: %s', async (_title, set, id) => {
    const authMiddleware: AuthMiddleware = (socket, next) => {
      set(socket, next)
      next()
    }
    const { server, client } = await recovered({ authMiddleware })
    await using _ = server
    const runId = await client.run('agent.run', { name: 'whoami', input: 'Hi' })
    const { output } = await client.next('agent.done', runId)
    expect(output).toMatchObject({ text: JSON.stringify({ id, roles: [], permissions: [] }) })
  })

  test('is left where nobody knows whom it was of', async () => {
    const authMiddleware: AuthMiddleware = (socket, next) => {
      Object.assign(socket, { userId: 'ada' })
      next()
    }
    const { server, client } = await recovered({ authMiddleware }, ({ io }) => {
      for (const socket of io.of('/turnpike').sockets.values()) socket.data = {}
    })
    await using _ = server
    if (client.socket.connected) expect(await client.gone).toBe('io server disconnect')
    expect(server.gateway.connectionCount).toBe(0)
  })
})

describe('a middleware', () => {
  test('refuses with what it says', async () => {
    const authMiddleware: AuthMiddleware = (_socket, next) => next(new Error('Unauthorized'))
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware })
    const refused = await server.connect().refusal
    expect(refused.message).toBe('Unauthorized')
    expect(refused.data).toStrictEqual({ code: 'unauthorized', message: 'Unauthorized' })
  })

  test('may say more', async () => {
    const data = { code: 'plan-ended', url: 'https://example.com' }
    const authMiddleware: AuthMiddleware = (_socket, next) => next(Object.assign(new Error('No.'), { data }))
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware })
    expect((await server.connect().refusal).data).toStrictEqual(data)
  })

  test.each<[string, AuthMiddleware]>([
    [
      'throws',
      () => {
        throw new Error('a secret of the server')
      },
    ],
    ['rejects', () => Promise.reject(new Error('a secret of the server'))],
    ['rejects with nothing', () => Promise.reject()],
    ['names nobody', (socket, next) => named(socket, { no: 'id' }, next)],
    ['names the empty text', (socket, next) => named(socket, '', next)],
  ])('that %s keeps its socket out, and no other one', async (_title, broken) => {
    const authMiddleware: AuthMiddleware = (socket, next) =>
      socket.handshake.auth['broken'] === true ? broken(socket, next) : next()
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware })
    const refused = await server.connect({ auth: { broken: true } }).refusal
    expect(refused.data).toMatchObject({ code: 'internal' })
    expect(`${refused.message}${JSON.stringify(refused.data)}`).not.toContain('secret')
    expect(server.logger.errors).toHaveLength(1)
    expect(await principalOf(server)).toMatchObject({ id: 'anonymous' })
  })

  test('that never decides is not waited for, and what it decides too late is not heard', async () => {
    const late = Promise.withResolvers<() => void>()
    const authMiddleware: AuthMiddleware = (_socket, next) => late.resolve(next)
    const machine = { limits: { earlyMs: 50 } }
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware }, { machine })
    const client = server.connect()
    expect((await client.refusal).data).toMatchObject({ code: 'auth-timeout' })
    const decide = await late.promise
    decide()
    expect(client.socket.connected).toBe(false)
    expect(server.io.of('/turnpike').sockets.size).toBe(0)
  })

  test('decides once', async () => {
    const authMiddleware: AuthMiddleware = (_socket, next) => {
      next()
      next(new Error('Unauthorized'))
      next()
    }
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware })
    expect(await principalOf(server)).toMatchObject({ id: 'anonymous' })
  })

  test('keeps so many waiting, and no more', async () => {
    const machine = { limits: { earlyConnections: 1 } }
    const waiting = Promise.withResolvers<void>()
    const authMiddleware: AuthMiddleware = () => waiting.resolve()
    await using server = await serveAgentGateway({ agents: { whoami }, authMiddleware }, { machine })
    server.connect()
    await waiting.promise
    expect((await server.connect().refusal).data).toMatchObject({ code: 'too-many-connections' })
  })

  test('is not asked by a server that is shutting down', async () => {
    await using server = await serveAgentGateway({ agents: { whoami } })
    await server.gateway.drain(0)
    expect((await server.connect().refusal).data).toMatchObject({ code: 'draining' })
  })
})

describe('requests', () => {
  const byUser: AuthMiddleware = (socket, next) => {
    socket.data.userId = socket.handshake.auth['user']
    next()
  }

  test('are limited for each socket, with the time to wait', async () => {
    await using server = await serveAgentGateway({ agents: { whoami }, maxRequestsPerMinute: 3 })
    const client = await server.connect().connected
    for (let n = 0; n < 3; n++) expect(await client.ask('registry.list', {})).not.toHaveProperty('ok')
    const error = {
      code: 'rate-limited',
      message: 'At most 3 requests a minute.',
      retryAfterMs: expect.any(Number),
    }
    expect(await client.ask('registry.list', {})).toStrictEqual({ ok: false, error })
    expect(await client.ask('tools.get', { name: 'x' })).toStrictEqual({ error })
    client.send('agent.run', { name: 'whoami', input: 'Hi', runId: 'r1', sessionId: 's1' })
    expect(await client.next('agent.error')).toStrictEqual({
      error: error.message,
      code: error.code,
      retryAfterMs: expect.any(Number),
      runId: 'r1',
      sessionId: 's1',
    })
    expect(client.socket.connected).toBe(true)
    expect(await principalOf(server)).toMatchObject({ id: 'anonymous' })
  })

  test('do not count where something is stopped, decided or left', async () => {
    await using server = await serveAgentGateway({ agents: { whoami }, maxRequestsPerMinute: 1 })
    const client = await server.connect().connected
    await client.ask('registry.list', {})
    expect(await client.refusalOf('registry.list', {})).toBe('rate-limited')
    expect(await client.refusalOf('run.cancel', { runId: 'r' })).toBe('unknown-run')
    const decision = { approvalId: 'a', approved: true }
    expect(await client.refusalOf('approval.resolve', decision)).toBe('unknown-approval')
    expect(await client.refusalOf('session.leave', { sessionId: 's' })).toBe('not refused')
  })

  test('are limited for each user, however many sockets there are', async () => {
    const options = { agents: { whoami }, maxRequestsPerMinute: 3, authMiddleware: byUser }
    await using server = await serveAgentGateway(options)
    for (let n = 0; n < 3; n++) {
      const client = await server.connect({ auth: { user: 'ada' } }).connected
      expect(await client.ask('registry.list', {})).toMatchObject({ agents: ['whoami'] })
    }
    const fourth = await server.connect({ auth: { user: 'ada' } }).connected
    expect(await fourth.refusalOf('registry.list', {})).toBe('rate-limited')
    expect(await principalOf(server, { user: 'bob' })).toMatchObject({ id: 'bob' })
  })

  test('are 60 a minute, unless it is said otherwise', async () => {
    await using server = await serveAgentGateway({ agents: { whoami } })
    const client = await server.connect().connected
    const answers = await Promise.all(Array.from({ length: 62 }, () => client.ask('registry.list', {})))
    expect(answers.filter((answer) => Object.hasOwn(Object(answer), 'agents'))).toHaveLength(60)
  })

  test('are not limited at 0', async () => {
    await using server = await serveAgentGateway({ agents: { whoami }, maxRequestsPerMinute: 0 })
    const client = await server.connect().connected
    for (let n = 0; n < 70; n++) expect(await client.refusalOf('registry.list', {})).toBeUndefined()
  })
})

test('a page comes from where a gateway that was given allows', async () => {
  const machine = { allowedOrigins: ['https://app.example.com'] }
  await using server = await serveAgentGateway({ agents: { whoami } }, { machine })
  const from = (Origin: string): object => ({ extraHeaders: { Origin } })
  await server.connect(from('https://app.example.com')).connected
  expect((await server.connect(from('https://evil.example')).refusal).data).toMatchObject({
    code: 'origin-not-allowed',
  })
})
