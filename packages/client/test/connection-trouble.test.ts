import { type ClientOptions, type Surroundings, createClient } from '@turnpike/client'
import type { LinkEnd } from '@turnpike/client/wire'
import { GatewayError } from '@turnpike/protocol'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { shouldProbe } from '../src/liveness.ts'
import { surroundingsOf } from '../src/surroundings.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryWire } from './memory-wire.ts'
import { ModelGateway } from './model-gateway.ts'

type News = Parameters<Parameters<Surroundings['watch']>[0]>[0]

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class Page implements Surroundings {
  online = true
  readonly #listeners = new Set<(news: News) => void>()

  isOnline(): boolean {
    return this.online
  }

  watch(listener: (news: News) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async tell(news: News): Promise<void> {
    for (const listener of this.#listeners) listener(news)
    await turn()
  }
}

/** A client that has begun to connect. */
async function setUp(options: Partial<ClientOptions> = {}) {
  const clock = new ManualClock()
  const page = new Page()
  const wire = new MemoryWire(new ModelGateway(), 'websocket')
  const client = createClient({
    url: 'http://model',
    wires: [wire],
    clock,
    surroundings: page,
    fetch: async () => Response.json({}),
    ...options,
  })
  void client.runs.cancel('r').catch(() => {})
  await turn()
  const end = async (how: Partial<LinkEnd>): Promise<void> => {
    wire.current?.end(how)
    await turn()
  }
  return { clock, page, wire, client, end, [Symbol.asyncDispose]: async () => client.close() }
}

/** What a server answers that is ours. */
const refusing =
  (code: 'unknown-route' | 'origin-not-allowed', status: number) => async (): Promise<Response> =>
    Response.json({ error: { code, message: 'No.' } }, { status })

afterEach(() => void vi.unstubAllGlobals())

describe('a token', () => {
  test('that is not there is asked for once more where the server wants one, and then no more', async () => {
    const getToken = vi.fn<() => undefined>(() => undefined)
    await using w = await setUp({ getToken })
    for (let i = 0; i < 5; i++) {
      w.wire.current?.accept()
      await w.end({ error: new GatewayError('unauthorized', 'Who is this?') })
    }
    expect(getToken).toHaveBeenCalledTimes(2)
    expect(w.client.connection.state).toMatchObject({ status: 'closed', error: { code: 'unauthorized' } })
  })

  test('that is taken and then expired is renewed at once, but the next one after a pause', async () => {
    const getToken = vi.fn<() => string>(() => 'old')
    await using w = await setUp({ getToken })
    for (let i = 0; i < 3; i++) {
      w.wire.current?.accept()
      await w.end({ error: new GatewayError('token-expired', 'Too old.') })
    }
    expect(getToken).toHaveBeenCalledTimes(2)
    expect(w.client.connection.state).toMatchObject({ status: 'reconnecting', delayMs: 500 })
    w.clock.advance(500)
    await turn()
    w.wire.current?.accept()
    w.clock.advance(5_000)
    await w.end({ error: new GatewayError('token-expired', 'Too old.') })
    expect(getToken).toHaveBeenCalledTimes(4)
  })

  test('that never comes is asked for again after 20 s', async () => {
    let asked = 0
    await using w = await setUp({ getToken: () => (asked++ === 0 ? new Promise(() => {}) : 'late') })
    w.clock.advance(20_000)
    await turn()
    expect(w.client.connection.state).toMatchObject({ status: 'reconnecting' })
    w.clock.advance(500)
    await turn()
    expect(w.wire.links[0]?.address.token).toBe('late')
  })
})

test('a WebSocket that cannot even be made gives way to event streams', async () => {
  class Insecure {
    constructor() {
      throw new DOMException('Not from here.', 'SecurityError')
    }
  }
  const fetch = async (): Promise<Response> => Response.json({ agents: [] })
  const clock = new ManualClock()
  const surroundings = new Page()
  await using client = createClient({
    url: 'http://x',
    clock,
    surroundings,
    WebSocket: Insecure as never,
    fetch,
  })
  void client.runs.cancel('r').catch(() => {})
  await turn()
  expect(client.connection.state).toEqual({ status: 'open', wire: 'sse' })
  clock.advance(60_000)
  await turn()
  expect(client.connection.state).toEqual({ status: 'open', wire: 'sse' })
})

describe('a clock that is set back', () => {
  test('does not keep a client from trying again', async () => {
    await using w = await setUp()
    w.wire.current?.accept()
    await w.end({ reached: true })
    w.clock.freeze(-3_600_000)
    await w.page.tell('visible')
    expect(w.wire.links).toHaveLength(2)
    await w.end({ reached: true, retryAfterMs: 3_000 })
    w.clock.freeze(-3_600_000)
    await w.page.tell('visible')
    expect(w.client.connection.state).toMatchObject({ status: 'reconnecting', delayMs: 3_000 })
  })

  test('makes it probe', () => {
    expect(shouldProbe({ now: 60_000, heardAt: 3_600_000, tickedAt: 55_000 })).toBe(true)
    expect(shouldProbe({ now: 60_000, heardAt: 59_000, tickedAt: 3_600_000 })).toBe(true)
  })
})

describe('a network that', () => {
  test('comes back drops an attempt that was begun without it, but no fresh one', async () => {
    await using w = await setUp()
    await w.page.tell('online')
    expect(w.wire.links).toHaveLength(1)
    w.clock.advance(2_000)
    await w.page.tell('online')
    expect(w.wire.links.map(({ isEnded }) => isEnded)).toEqual([true, false])
  })

  test('goes ends an attempt, and the next one waits for it', async () => {
    await using w = await setUp()
    w.page.online = false
    await w.page.tell('offline')
    expect(w.wire.links[0]?.isEnded).toBe(true)
    expect(w.client.connection.state).toMatchObject({ status: 'reconnecting', offline: true })
    w.page.online = true
    await w.page.tell('online')
    expect(w.wire.links).toHaveLength(2)
  })

  test('goes has an open link probed, and a planned attempt wait', async () => {
    await using w = await setUp()
    w.wire.current?.accept()
    w.page.online = false
    await w.page.tell('offline')
    expect(w.wire.current?.probes).toBe(1)
    expect(w.client.connection.state).toMatchObject({ status: 'open' })
    w.page.online = true
    await w.end({ reached: true })
    expect(w.client.connection.state).toMatchObject({ status: 'reconnecting', offline: false })
    w.page.online = false
    await w.page.tell('offline')
    expect(w.client.connection.state).toMatchObject({ status: 'reconnecting', offline: true })
  })

  test.each(['localhost:3000', 'app.localhost', '127.0.0.1', '127.8.0.1:80', '[::1]:3000'])(
    'is gone says nothing of %s',
    (host) => {
      expect(surroundingsOf(`http://${host}`, { navigator: { onLine: false } }).isOnline()).toBe(true)
    },
  )

  test.each(['example.com', 'localhost.example.com', '127.example.com', '10.0.0.1'])(
    'is gone keeps nobody from waiting for %s',
    (host) => {
      expect(surroundingsOf(`http://${host}`, { navigator: { onLine: false } }).isOnline()).toBe(false)
    },
  )

  test('goes is told by a page', () => {
    const scope = new EventTarget()
    const heard: News[] = []
    const stop = surroundingsOf('http://x', scope).watch((news) => heard.push(news))
    for (const type of ['offline', 'online']) scope.dispatchEvent(new Event(type))
    stop()
    scope.dispatchEvent(new Event('offline'))
    expect(heard).toEqual(['offline', 'online'])
  })
})

describe('a listener', () => {
  test('that throws is reported, and nothing behind it stops', async () => {
    const reported = vi.fn<(error: unknown) => void>()
    vi.stubGlobal('reportError', reported)
    await using w = await setUp()
    const mine = new Error('mine')
    const behind = vi.fn<() => void>()
    w.client.connection.onChange(() => {
      throw mine
    })
    w.client.connection.onChange(behind)
    w.wire.current?.accept()
    expect(reported.mock.calls).toEqual([[mine]])
    expect(behind).toHaveBeenCalledTimes(1)
    expect(w.wire.current?.up).toHaveLength(1)
  })

  test.each(['connecting', 'open', 'reconnecting'])('may close the client while it is %s', async (status) => {
    await using w = await setUp()
    w.client.connection.onChange((state) => {
      if (state.status === status) w.client.close()
    })
    w.wire.current?.accept()
    await w.end({ reached: true })
    w.clock.advance(60_000)
    await turn()
    expect(w.client.connection.state).toEqual({ status: 'closed' })
    expect(w.wire.links).toHaveLength(1)
  })
})

describe('an address', () => {
  test.each(['localhost:3911', 'ws://localhost', 'nonsense', 'http://', 'file:///tmp', ''])(
    'such as "%s" is refused at once',
    (url) => {
      expect(() => createClient({ url })).toThrow(TypeError)
      expect(() => createClient({ url })).toThrow(/has to begin with "http:\/\/" or "https:\/\/"/)
    },
  )

  test.each([
    ['unknown-route', 404],
    ['origin-not-allowed', 403],
  ] as const)('where the server says %s closes the client', async (code, status) => {
    await using w = await setUp({ fetch: refusing(code, status) })
    await w.end({ closeCode: 1006 })
    expect(w.client.connection.state).toMatchObject({ status: 'closed', error: { code } })
  })

  test.each([404, 403, 401, 502])('where somebody on the way says %i is tried again', async (status) => {
    await using w = await setUp({ fetch: async () => new Response('No.', { status }) })
    await w.end({ closeCode: 1006 })
    expect(w.client.connection.state).toMatchObject({ status: 'reconnecting' })
  })
})

test('a client that is closed reads nothing more', async () => {
  const fetch = vi.fn<() => Promise<Response>>(() => Promise.reject(new TypeError('No network.')))
  const getToken = vi.fn<() => string>(() => 'token')
  await using w = await setUp({ fetch, getToken })
  const reading = w.client.threads.list()
  reading.catch(() => {})
  await turn()
  w.client.close()
  const [fetched, asked] = [fetch.mock.calls.length, getToken.mock.calls.length]
  w.clock.advance(20_000)
  const error = await w.client.threads.stream({ message: 'hi' }).catch((thrown: unknown) => thrown)
  await expect(reading).rejects.toEqual(error)
  await expect(w.client.threads.list()).rejects.toEqual(error)
  await expect(w.client.agents.list()).rejects.toEqual(error)
  expect([fetch.mock.calls.length, getToken.mock.calls.length]).toEqual([fetched, asked])
})
