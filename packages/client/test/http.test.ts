import { expect, test } from 'vitest'
import { Http, refusalOf } from '../src/http.ts'
import { Tokens } from '../src/tokens.ts'
import { ManualClock } from './manual-clock.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function setUp(fetch: () => Promise<Response>, tokens = new Tokens({})) {
  const clock = new ManualClock()
  return { clock, http: new Http({ url: 'http://server', fetch, tokens, clock }) }
}

test.each([
  [400, 'internal'],
  [401, 'unauthorized'],
  [403, 'internal'],
  [404, 'internal'],
  [413, 'payload-too-large'],
  [429, 'rate-limited'],
  [500, 'internal'],
  [502, 'draining'],
  [503, 'draining'],
])('a %i of somebody on the way is taken for %s', async (status, code) => {
  const error = await refusalOf(new Response('<html>', { status, headers: { 'retry-after': '2' } }))
  expect(error).toMatchObject({ code, retryAfterMs: 2_000 })
})

test.each([400, 401, 403, 404])('a look that is answered with %i finds that HTTP works', async (status) => {
  const { http } = setUp(async () => new Response('No.', { status }))
  expect(await http.look()).toEqual({ works: true })
})

test.each([
  [429, true],
  [503, false],
])('a look that is answered with %i tells how long to wait', async (status, works) => {
  const { http } = setUp(async () => new Response('', { status, headers: { 'retry-after': '7' } }))
  expect(await http.look()).toMatchObject({ works, error: { retryAfterMs: 7_000 } })
})

test('a look takes the word of the gateway that the address is wrong', async () => {
  const error = { code: 'unknown-route', message: 'No.' }
  const { http } = setUp(async () => Response.json({ error }, { status: 404 }))
  expect(await http.look()).toMatchObject({ works: true, error: { code: 'unknown-route' } })
})

test('what is read is not tried again once the client is closed', async () => {
  let calls = 0
  const { http, clock } = setUp(async () => {
    calls++
    throw new TypeError('down')
  })
  const read = expect(http.get('/threads')).rejects.toMatchObject({ code: 'cancelled' })
  await turn()
  http.close()
  await read
  clock.advance(100_000)
  await expect(http.get('/threads')).rejects.toMatchObject({ code: 'cancelled' })
  expect(calls).toBe(1)
})

test('a getToken that throws is told as an error with a code', async () => {
  const cause = new TypeError('no session')
  const getToken = (): Promise<string> => Promise.reject(cause)
  const { http } = setUp(async () => Response.json({}), new Tokens({ getToken }))
  await expect(http.get('/threads')).rejects.toMatchObject({ name: 'GatewayError', code: 'internal', cause })
})
