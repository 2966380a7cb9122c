import { countingAgent } from '@turnpike/testkit'
import type { ServerOptions } from 'socket.io'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { serveAgentGateway } from './agent-gateway-harness.ts'
import { rawClient, rawPolling } from './raw-socket-io.ts'
import { serveThreads } from './thread-server.ts'

const GOOD = 'https://good.example'
const EVIL = 'https://evil.example'

type Cors = ServerOptions['cors']
type Decide = (error: Error | null, allow?: string | boolean | RegExp) => void

/** Whether a page of that origin gets into the agent gateway on somebody's own server. */
async function joins(cors: Cors, origin?: string, host?: string): Promise<boolean> {
  await using server = await serveAgentGateway(
    { agents: {} },
    { socketIo: cors === undefined ? {} : { cors } },
  )
  const headers = { ...(origin !== undefined && { origin }), ...(host !== undefined && { host }) }
  const client = await rawClient(`${server.url}/socket.io`, ['40/turnpike,'], headers).catch(() => undefined)
  // Socket.IO itself refuses where the rule fails.
  if (!client) return false
  const { next, socket } = client
  const answer = await Promise.race([next('40/turnpike,'), next('44/turnpike,')])
  socket.terminate()
  if (answer.startsWith('44')) expect(answer).toContain('origin-not-allowed')
  return answer.startsWith('40')
}

describe("on somebody's own server", () => {
  test.each<[string, Cors, { good: boolean; evil: boolean }]>([
    ['nothing', undefined, { good: false, evil: false }],
    ['nothing of origins', { credentials: true }, { good: true, evil: true }],
    ['all', { origin: '*' }, { good: true, evil: true }],
    ['a text', { origin: GOOD }, { good: true, evil: false }],
    ['yes', { origin: true }, { good: true, evil: true }],
    ['no', { origin: false }, { good: false, evil: false }],
    ['a pattern', { origin: /^https:\/\/good\./ }, { good: true, evil: false }],
    ['a list', { origin: ['https://other.example', /good/] }, { good: true, evil: false }],
    ['an empty list', { origin: [] }, { good: false, evil: false }],
    [
      'a function',
      { origin: (origin: unknown, decide: Decide) => decide(null, origin === GOOD) },
      { good: true, evil: false },
    ],
    [
      'a function that names one',
      { origin: (_: unknown, decide: Decide) => decide(null, GOOD) },
      { good: true, evil: false },
    ],
    [
      'a function that fails',
      { origin: (_: unknown, decide: Decide) => decide(new Error('no')) },
      { good: false, evil: false },
    ],
    [
      'a function that throws',
      {
        origin: () => {
          throw new Error('no')
        },
      },
      { good: false, evil: false },
    ],
    [
      'a function of the request',
      (request, decide) => decide(null, { origin: request.headers.origin === GOOD }),
      { good: true, evil: false },
    ],
    [
      'a function of the request that fails',
      (_request, decide) => decide(new Error('no')),
      { good: false, evil: false },
    ],
  ])('cors decides over foreign pages: %s', async (_title, cors, { good, evil }) => {
    expect(await joins(cors, GOOD)).toBe(good)
    expect(await joins(cors, EVIL)).toBe(evil)
  })

  test.each<[string, Cors]>([
    ['without cors', undefined],
    ['with cors for others', { origin: GOOD }],
  ])('its own pages and programs are in, %s', async (_title, cors) => {
    expect(await joins(cors, 'https://app.example', 'app.example')).toBe(true)
    expect(await joins(cors)).toBe(true)
    expect(await joins(cors, 'https://app.example:444', 'app.example')).toBe(false)
    expect(await joins(cors, 'null')).toBe(false)
  })

  test('polling as a script gets into no namespace of ours', async () => {
    await using server = await serveAgentGateway({ agents: {} })
    const base = `${server.url}/socket.io/?EIO=4&transport=polling&j=0`
    const sid = /sid\\":\\"([^\\]+)/.exec(await (await fetch(base)).text())?.[1] ?? ''
    const body = new URLSearchParams({ d: '40/turnpike,' })
    await fetch(`${base}&sid=${sid}`, { method: 'POST', body, headers: { origin: EVIL } })
    expect(await (await fetch(`${base}&sid=${sid}`)).text()).toContain('origin-not-allowed')
    expect(server.gateway.connectionCount).toBe(0)
  })
})

describe('on a server of ours', () => {
  const settings = { allowedOrigins: [GOOD] }

  test('polling as a script is not served', async () => {
    await using server = await serveThreads([countingAgent()], settings)
    for (const j of ['j=0', 'j=', 'j=0&j=1']) {
      const response = await fetch(`${server.baseUrl}/streaming/?EIO=4&transport=polling&${j}`)
      expect(response.status).toBe(403)
    }
    expect(server.stream.io.engine.clientsCount).toBe(0)
  })

  test('each request of a connection comes from an allowed page', async () => {
    await using server = await serveThreads([countingAgent()], settings)
    const { sid, post, poll } = await rawPolling(`${server.baseUrl}/streaming`, { origin: GOOD })
    expect((await post(['40'], { origin: EVIL })).status).toBe(400)
    expect(server.gateway.connectionCount).toBe(0)
    const upgrade = `${server.baseUrl.replace('http', 'ws')}/streaming/?EIO=4&transport=websocket&sid=${sid}`
    const refused = new WebSocket(upgrade, { origin: EVIL })
    const status = await new Promise((resolve) => {
      refused.once('unexpected-response', (_request, { statusCode }) => resolve(statusCode))
      refused.once('open', () => resolve('open'))
    })
    expect(status).toBe(400)
    expect((await post(['40'])).status).toBe(200)
    expect(await (await poll()).text()).toMatch(/^40\{"sid"/)
    const allowed = new WebSocket(upgrade, { origin: GOOD })
    await new Promise((resolve) => allowed.once('open', resolve))
    allowed.terminate()
  })
})
