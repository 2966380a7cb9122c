import type { ServerRoute } from '@turnpike/gateway'
import { GatewayError } from '@turnpike/protocol'
import { expect, test, vi } from 'vitest'
import { serveAgents } from './agent-server-harness.ts'
import { recordingLogger, testGateway } from './harness.ts'

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** A route that streams. */
function streaming(path: string, words: () => AsyncGenerator<Uint8Array>): ServerRoute {
  return { method: 'GET', path, handler: () => new Response(ReadableStream.from(words())) }
}

test.each([
  [new Error('password=hunter2'), 500, 'internal'],
  ['no error', 500, 'internal'],
  [new GatewayError('unknown-thread', 'No such thread.'), 404, 'unknown-thread'],
])('a stream that fails before its first byte is answered as any failure: %s', async (...row) => {
  const [thrown, status, code] = row
  const logger = recordingLogger()
  await using server = await serveAgents({ gateway: testGateway([], { logger }) })
  // oxlint-disable-next-line require-yield
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    throw thrown
  }
  server.registerRoute(streaming('/failing', failing))
  const response = await fetch(`${server.url}/failing`)
  expect(response.status).toBe(status)
  expect(await response.json()).toMatchObject({ error: { code } })
  expect(logger.errors).toHaveLength(status === 500 ? 1 : 0)
})

test.each(['at once', 'later'])(
  'a stream that fails %s behind its first byte is cut, and logged once',
  async (when) => {
    const logger = recordingLogger()
    const gate = Promise.withResolvers<void>()
    await using server = await serveAgents({ gateway: testGateway([], { logger }) })
    const raw = vi.spyOn(console, 'error')
    server.registerRoute(
      streaming('/broken', async function* () {
        yield bytes('word ')
        if (when === 'later') await gate.promise
        throw new Error('password=hunter2')
      }),
    )
    const response = await fetch(`${server.url}/broken`)
    expect(response.status).toBe(200)
    const reader = response.body?.getReader()
    if (when === 'later') expect((await reader?.read())?.value).toEqual(bytes('word '))
    gate.resolve()
    const rest = async (): Promise<void> => {
      while (!(await reader?.read())?.done);
    }
    await expect(rest()).rejects.toThrow('terminated')
    expect(logger.errors).toMatchObject([{ error: { message: 'password=hunter2' } }])
    expect(raw).not.toHaveBeenCalled()
    raw.mockRestore()
  },
)

test('the head of a stream does not wait for its first byte', async () => {
  const gate = Promise.withResolvers<void>()
  await using server = await serveAgents()
  server.registerRoute(
    streaming('/slow', async function* () {
      await gate.promise
      yield bytes('late')
    }),
  )
  const response = await fetch(`${server.url}/slow`)
  expect(response.status).toBe(200)
  gate.resolve()
  expect(await response.text()).toBe('late')
})

test.each(['its client leaves', 'the server stops'])(
  'a stream ends, and nothing is logged, where %s',
  async (title) => {
    const logger = recordingLogger()
    const ended = Promise.withResolvers<void>()
    await using server = await serveAgents({ gateway: testGateway([], { logger }) })
    server.registerRoute(
      streaming('/endless', async function* () {
        try {
          for (;;) {
            yield bytes('x')
            await new Promise(setImmediate)
          }
        } finally {
          ended.resolve()
        }
      }),
    )
    const client = new AbortController()
    const response = await fetch(`${server.url}/endless`, { signal: client.signal })
    const reader = response.body?.getReader()
    await reader?.read()
    if (title.startsWith('its')) client.abort()
    else await server.stop({ graceMs: 0, windowMs: 0 })
    await ended.promise
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
    expect(logger.errors).toEqual([])
    client.abort()
  },
)
