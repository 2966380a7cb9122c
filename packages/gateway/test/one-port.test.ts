import { execFile } from 'node:child_process'
import { type Server as HttpServer, createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { promisify } from 'node:util'
import { createGatewayServer } from '@turnpike/gateway/server'
import { connectWebSocket, countingAgent } from '@turnpike/testkit'
import { connectSocketIo } from '@turnpike/testkit/socket-io'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'
import { expect, test } from 'vitest'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { shareGateway } from '../src/presets/shared-gateway.ts'
import { recordingLogger, testGateway } from './harness.ts'

const TRANSPORTS = [['websocket'], ['polling']] as const

async function listening(server: HttpServer): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function closed(server: HttpServer): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** A Socket.IO server of the user's own, which echoes. */
function attachOwn(server: HttpServer): Server {
  const own = new Server(server)
  own.on('connection', (socket) => socket.on('echo', (text, ack) => ack(text)))
  return own
}

test.each(['before', 'behind'])(
  'raw WebSockets, HTTP and two Socket.IO servers share a port, one of the user attached %s ours',
  async (order) => {
    const gateway = createGatewayServer({ agents: [countingAgent()], logger: recordingLogger() })
    const { server } = gateway
    const first = order === 'before' ? attachOwn(server) : undefined
    const stream = createThreadStream({ server, gateway: gateway.gateway })
    const own = first ?? attachOwn(server)
    const url = await gateway.listen(0)
    for (const transports of TRANSPORTS) {
      const socket = io(url, { transports: [...transports], forceNew: true, reconnection: false })
      expect(await socket.timeout(5_000).emitWithAck('echo', 'hello')).toBe('hello')
      socket.disconnect()
      await using client = await connectSocketIo({ url, transports })
      expect(await client.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
    }
    await using raw = await connectWebSocket({ url: `${url.replace('http', 'ws')}/stream` })
    expect(await raw.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect((await fetch(`${url}/streamings`)).status).toBe(404)
    expect((await fetch(`${url}/nowhere`)).status).toBe(404)
    raw.terminate()
    await stream.close()
    await own.close()
    await gateway.close(0)
  },
)

test('two thread streams share a port, and one taken off leaves the other', async () => {
  const server = createServer((_request, response) => void response.writeHead(404).end('app'))
  const gateway = testGateway([countingAgent()])
  const first = createThreadStream({ server, gateway })
  const second = createThreadStream({ server, gateway, path: '/second' })
  const url = await listening(server)
  await using a = await connectSocketIo({ url, transports: ['polling'] })
  await using b = await connectSocketIo({ url, path: '/second', transports: ['polling'] })
  await a.request('thread.send', { threadId: 't', message: '1' })
  expect(await b.request('thread.subscribe', { threadId: 't' })).toMatchObject({ ok: true })
  await first.close()
  await a.closed
  await expect(connectSocketIo({ url, transports: ['polling'], deadlineMs: 1_000 })).rejects.toThrow(
    'refused',
  )
  expect(await b.request('thread.subscribe', { threadId: 't' })).toMatchObject({ ok: true })
  expect(await (await fetch(url)).text()).toBe('app')
  await second.close()
  await gateway.drain(0)
  await closed(server)
})

test('a server with no app of its own has the HTTP routes, and answers 404 to everything else', async () => {
  const server = createServer()
  const gateway = testGateway([countingAgent()])
  const stream = createThreadStream({ server, gateway })
  const url = await listening(server)
  const body = JSON.stringify({ message: '3' })
  const streamed = await fetch(`${url}/agents/counter/chat/stream`, { method: 'POST', body })
  expect(streamed.headers.get('content-type')).toContain('text/event-stream')
  expect(await streamed.text()).toContain('event: finish')
  const response = await fetch(`${url}/nowhere`)
  expect([response.status, await response.json()]).toMatchObject([404, { error: { code: 'unknown-route' } }])
  await stream.close()
  await gateway.drain(0)
  await closed(server)
})

test("it serves on the user's own Socket.IO server, and leaves that to the user", async () => {
  const server = createServer()
  const own = new Server(server, { path: '/streaming' })
  own.of('/mine').on('connection', (socket) => socket.on('echo', (text, ack) => ack(text)))
  const gateway = testGateway([countingAgent()])
  const stream = createThreadStream({ io: own, gateway })
  const url = await listening(server)
  for (const transports of TRANSPORTS) {
    await using client = await connectSocketIo({ url, transports })
    const mine = client.socket.io.socket('/mine')
    expect(await mine.timeout(5_000).emitWithAck('echo', 'hello')).toBe('hello')
    await client.request('thread.send', { message: '3' })
    expect((await client.inbox.until(({ type }) => type === 'finish')).length).toBe(5)
  }
  // It keeps the namespaces it makes: none is made for a name that nobody has.
  await expect(connectSocketIo({ url, namespace: '/agents/nobody/chat/stream' })).rejects.toThrow('refused')
  expect([...own._nsps.keys()]).toEqual(['/', '/mine', '/connections'])
  await stream.close()
  const socket = io(`${url}/mine`, { path: '/streaming', forceNew: true })
  expect(await socket.timeout(5_000).emitWithAck('echo', 'still')).toBe('still')
  socket.disconnect()
  await gateway.drain(0)
  await own.close()
})

test('compression, and recovery by Socket.IO itself, change nothing', async () => {
  const server = createServer()
  const own = new Server(server, {
    path: '/streaming',
    perMessageDeflate: { threshold: 0 },
    connectionStateRecovery: {},
  })
  const authenticate = async (id: string): Promise<{ id: string }> => ({ id })
  const gateway = testGateway([countingAgent('counter', 7)], { authenticate })
  createThreadStream({ io: own, gateway })
  const url = await listening(server)
  const socket = io(url, {
    path: '/streaming',
    transports: ['websocket'],
    auth: { token: 'ada' },
    forceNew: true,
    reconnectionDelay: 10,
  })
  const seqs: number[] = []
  const finished = (): Promise<void> => new Promise((resolve) => socket.once('finish', () => resolve()))
  socket.onAny((name: string, event: { seq?: number }) => {
    if (name !== 'goodbye' && event.seq) seqs.push(event.seq)
  })
  const first = finished()
  await socket.emitWithAck('thread.send', { threadId: 't', message: 'to 200' })
  await first
  const again = new Promise<void>((resolve) => socket.once('connect', resolve))
  socket.io.engine.close()
  await again
  // Whoever is recovered is asked for the token again: it may be good no more.
  const second = finished()
  expect(await socket.emitWithAck('thread.send', { threadId: 't', message: 'to 3' })).toMatchObject({
    ok: true,
  })
  await second
  expect(seqs).toEqual(seqs.map((_, index) => index + 1))
  socket.disconnect()
  await gateway.drain(0)
  await own.close()
})

/** Packets of a shape of its own, as the msgpack parser has; as JSON, to see through. */
const parser = {
  Encoder: class {
    encode(packet: object): unknown[] {
      return [Buffer.from(JSON.stringify(packet))]
    }
  },
  Decoder: class {
    #decoded: (packet: unknown) => void = () => {}
    add(data: Buffer): void {
      this.#decoded(JSON.parse(data.toString()))
    }
    on(_name: 'decoded', listener: (packet: unknown) => void): void {
      this.#decoded = listener
    }
    off(): void {}
    removeListener(): void {}
    destroy(): void {}
  },
}

test.each(TRANSPORTS)(
  'a server with another parser than the default one is spoken to in its own, over %s',
  async (transport) => {
    const server = createServer()
    const own = new Server(server, { path: '/streaming', parser })
    const gateway = testGateway([countingAgent()])
    createThreadStream({ io: own, gateway })
    const url = await listening(server)
    const socket = io(url, { path: '/streaming', transports: [transport], parser, forceNew: true })
    const seen: string[] = []
    const finished = new Promise<void>((resolve) => {
      socket.onAny((name: string) => seen.push(name))
      socket.on('finish', () => resolve())
    })
    expect(await socket.emitWithAck('thread.send', { message: '2' })).toMatchObject({ ok: true })
    await finished
    expect(seen).toEqual(['start', 'text-delta', 'text-delta', 'finish'])
    socket.disconnect()
    await gateway.drain(0)
    await own.close()
  },
)

test('presets that are given no gateway share one, until the last of them has closed', async () => {
  const [first, second] = [shareGateway(), shareGateway()]
  expect(second.gateway).toBe(first.gateway)
  await first.release()
  await first.release()
  expect(second.gateway.isDraining).toBe(false)
  await second.release()
  expect(second.gateway.isDraining).toBe(true)
  const third = shareGateway()
  expect(third.gateway).not.toBe(first.gateway)
  await third.release()
})

test.each([
  ['its path is taken', { path: '/taken' }],
  [
    'what it is to add fails',
    {
      namespaces: () => {
        throw new TypeError('no')
      },
    },
  ],
])('a thread stream that cannot be, since %s, holds nothing', async (_title, options) => {
  const server = createServer()
  const gateway = testGateway([])
  const other = createThreadStream({ server, gateway, path: '/taken' })
  const held = shareGateway()
  expect(() => createThreadStream({ server, ...options })).toThrow(TypeError)
  await held.release()
  expect(held.gateway.isDraining).toBe(true)
  // Nor does it keep a path.
  const url = await listening(server)
  await expect.poll(async () => (await fetch(`${url}/streaming/?EIO=4&transport=polling`)).status).toBe(404)
  await using client = await connectSocketIo({ url, path: '/taken' })
  expect(await client.request('thread.send', { message: '1' })).toMatchObject({
    error: { code: 'unknown-agent' },
  })
  await other.close()
  await gateway.drain(0)
  await closed(server)
})

test('a thread stream whose path is taken adds no agents', async () => {
  const server = createServer()
  const gateway = testGateway([])
  const stream = createThreadStream({ server, gateway })
  expect(() => createThreadStream({ server, gateway, agents: [countingAgent()] })).toThrow(TypeError)
  expect(gateway.agents.list()).toEqual([])
  await stream.close()
  await gateway.drain(0)
})

test('the path of a thread stream is anybody’s once its gateway drains', async () => {
  const server = createServer()
  const [first, second] = [testGateway([]), testGateway([countingAgent()])]
  const one = createThreadStream({ server, gateway: first })
  expect(() => createThreadStream({ server, gateway: second })).toThrow('"/streaming"')
  await first.drain(0)
  const other = createThreadStream({ server, gateway: second })
  const url = await listening(server)
  const works = async (): Promise<void> => {
    for (const transports of TRANSPORTS) {
      await using client = await connectSocketIo({ url, transports })
      expect(await client.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
    }
  }
  await works()
  await one.close()
  await works()
  await other.close()
  await second.drain(0)
  await closed(server)
})

test('a process ends when its last preset has closed', async () => {
  const script = `
    import { createServer } from 'node:http'
    import { defineAgent } from '@turnpike/agents'
    import { createThreadStream } from '@turnpike/gateway/thread-stream'
    const server = createServer()
    const stream = createThreadStream({ server })
    defineAgent({ name: 'later', async *run() { yield 'hi' } })
    await new Promise((resolve) => server.listen(0, resolve))
    const url = 'http://127.0.0.1:' + server.address().port
    const opened = await fetch(url + '/streaming/?EIO=4&transport=polling')
    console.log((await opened.text())[0], stream.gateway.agents.list().map(({ name }) => name).join())
    server.close()
    server.closeAllConnections()
    await stream.close()
  `
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=@turnpike/source', '--input-type=module', '-e', script],
    { cwd: import.meta.dirname, timeout: 15_000 },
  )
  expect(stdout.trim()).toBe('0 later')
})

test('an offer to upgrade to something else is answered as the request that it is', async () => {
  const gateway = createGatewayServer({ agents: [countingAgent()], logger: recordingLogger() })
  const url = await gateway.listen(0)
  const body = '{"message":"to 2"}'
  const answer = await answerTo(
    url,
    `POST /agents/counter/chat/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n` +
      `Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    '"finishReason"',
  )
  expect(answer).toContain('HTTP/1.1 200 OK')
  await gateway.close(0)
})

test('an upgrade may name its target with a whole address', async () => {
  const gateway = createGatewayServer({ agents: [countingAgent()], logger: recordingLogger() })
  const url = await gateway.listen(0)
  for (const target of [`${url}/stream?x=1`, `${url.replace('http', 'ws')}/stream`]) {
    const head =
      `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n` +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`
    expect(await answerTo(url, head, '\r\n\r\n')).toContain('101 Switching Protocols')
  }
  await gateway.close(0)
})

/** Sends bytes, and resolves with the answer up to what is waited for. */
function answerTo(url: string, bytes: string, wanted: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`Closed after: ${answer}`)))
    socket.on('data', (chunk) => {
      answer += chunk.toString()
      if (!answer.includes(wanted)) return
      socket.destroy()
      resolve(answer)
    })
  })
}
