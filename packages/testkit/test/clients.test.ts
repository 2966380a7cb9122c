import { once } from 'node:events'
import {
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  createServer,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import {
  type EventId,
  type Message,
  type ThreadEvent,
  mergeDeltas,
  mintEventId,
  parseEventId,
  reduce,
} from '@turnpike/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { startChaosProxy } from '../src/chaos-proxy.ts'
import { followThread } from '../src/follow-thread.ts'
import { checkHistory } from '../src/history-checker.ts'
import { Inbox } from '../src/inbox.ts'
import { createRandom } from '../src/random.ts'
import { EventStreamParser, openEventStream, parseEventStream } from '../src/sse-client.ts'
import { HandshakeError, connectWebSocket } from '../src/websocket-client.ts'

interface LocalServer extends AsyncDisposable {
  readonly port: number
  readonly baseUrl: string
  readonly streamUrl: string
  /** The server's ends of WebSockets. */
  readonly websockets: Inbox<WebSocket>
}

async function startServer(
  onRequest: RequestListener,
  onWebSocket: (websocket: WebSocket, request: IncomingMessage) => void = () => {},
): Promise<LocalServer> {
  const server: Server = createServer(onRequest)
  const websockets = new Inbox<WebSocket>({ name: 'connections' })
  const sockets = new WebSocketServer({ server, path: '/stream' })
  sockets.on('connection', (websocket, request) => {
    websocket.on('error', () => {})
    websockets.push(websocket)
    onWebSocket(websocket, request)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    baseUrl: `http://127.0.0.1:${port}`,
    streamUrl: `ws://127.0.0.1:${port}/stream`,
    websockets,
    async [Symbol.asyncDispose]() {
      for (const websocket of sockets.clients) websocket.terminate()
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function listOf<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const value of values) list.push(value)
  return list
}

const notFound: RequestListener = (_request, response) => void response.writeHead(404).end('nothing here')

describe('the inbox', () => {
  test('gives values in order, to those who wait and to those who come later', async () => {
    const inbox = new Inbox<number>()
    const early = [inbox.next(), inbox.next()]
    for (const value of [1, 2, 3, 4, 5]) inbox.push(value)
    expect(await Promise.all(early)).toEqual([1, 2])
    expect(await inbox.until((value) => value === 4)).toEqual([3, 4])
    expect(inbox.size).toBe(1)
  })

  test('says past the deadline what it did receive', async () => {
    const inbox = new Inbox<object>({ name: 'frames', deadlineMs: 5 })
    await expect(inbox.next()).rejects.toThrow('No frames within 5 ms. Nothing was received.')
    inbox.push({ type: 'start' })
    await expect(inbox.until(() => false)).rejects.toThrow("Received 1, the latest:\n  { type: 'start' }")
    inbox.push({ type: 'finish' })
    expect(await inbox.next()).toEqual({ type: 'finish' })
  })

  test('gives what is there after the end, then says so', async () => {
    const inbox = new Inbox<number>()
    inbox.push(1)
    inbox.end()
    inbox.push(2)
    expect(await listOf(inbox)).toEqual([1])
    await expect(inbox.next()).rejects.toThrow('it has ended')

    const broken = new Inbox<number>()
    const waiting = broken.next()
    broken.end(new Error('cut'))
    await expect(waiting).rejects.toThrow('cut')
    await expect(broken.next()).rejects.toThrow('cut')
  })
})

describe('the event stream parser', () => {
  const parse = (text: string) => parseEventStream([Buffer.from(text)])

  test('reads fields, comments, several lines of data and any line ending', () => {
    const text =
      '\uFEFF: hello\r\nid: 1\r\nevent: start\r\ndata: a\r\ndata:b\rdata:  c\n\nretry: 250\ndata\n\n:x\n\nfoo: 1\nevent: none\n\ndata: é😀\n\ndata: cut'
    expect(parse(text)).toEqual([
      { id: '1', event: 'start', data: 'a\nb\n c' },
      { event: 'message', data: '' },
      { event: 'message', data: 'é😀' },
    ])
  })

  test('learns the last event id from blocks without data, and only from complete ones', () => {
    const parser = new EventStreamParser()
    expect(parser.push(Buffer.from('id: 7\n\n'))).toEqual([])
    expect(parser.lastEventId).toBe('7')
    parser.push(Buffer.from('id: 8\ndata: x\n'))
    expect(parser.lastEventId).toBe('7')
    parser.push(Buffer.from('\nid: a\0b\n\ndata: y\n\nretry: 1x\n\n'))
    expect(parser.lastEventId).toBe('8')
    expect(parser.retryMs).toBeUndefined()
    parser.push(Buffer.from('id\n\nretry: 10\n: beat\n'))
    expect([parser.lastEventId, parser.retryMs, parser.comments]).toEqual(['', 10, 1])
  })

  test('gives the same events however the bytes are cut', () => {
    const line = fc.oneof(
      fc.constantFrom(
        '',
        '',
        'data',
        'data:',
        'data: x',
        'id: 5',
        'id',
        'event: e',
        'retry: 9',
        ': c',
        'data: é😀\uFEFF',
      ),
      fc.string(),
    )
    const text = fc
      .array(fc.tuple(line, fc.constantFrom('\n', '\r', '\r\n')), { maxLength: 20 })
      .map((lines) => lines.flat().join(''))
    fc.assert(
      fc.property(text, fc.boolean(), fc.infiniteStream(fc.nat(4)), (body, marked, sizes) => {
        const bytes = Buffer.from(`${marked ? '\uFEFF' : ''}${body}`)
        const whole = read([bytes])
        for (let cut = 0; cut <= bytes.length; cut++) {
          expect(read([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole)
        }
        const pieces: Buffer[] = []
        for (let start = 0; start < bytes.length;) {
          const size = sizes.next().value
          pieces.push(bytes.subarray(start, start + size))
          start += size
        }
        expect(read(pieces)).toEqual(whole)
      }),
    )
  })

  function read(pieces: readonly Uint8Array[]) {
    const parser = new EventStreamParser()
    const events = pieces.flatMap((piece) => parser.push(piece))
    return { events, lastEventId: parser.lastEventId, retryMs: parser.retryMs, comments: parser.comments }
  }
})

describe('the event stream client', () => {
  test('sends what it is given, and reads events as JSON', async () => {
    const answer = async (request: IncomingMessage, response: ServerResponse) => {
      const { method, headers } = request
      const body = await text(request)
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
      response.write(
        `: beat\nid: 1\nevent: seen\ndata: ${JSON.stringify({ method, body, last: headers['last-event-id'] })}\n\n`,
      )
      response.end('id: 2\n\n')
    }
    await using server = await startServer((request, response) => void answer(request, response))
    const headers = { 'last-event-id': '0' }
    await using stream = await openEventStream({ url: server.baseUrl, body: { message: 'hi' }, headers })
    expect([stream.status, stream.body]).toEqual([200, undefined])
    const data = { method: 'POST', body: '{"message":"hi"}', last: '0' }
    expect(await listOf(stream.events)).toEqual([{ id: '1', event: 'seen', data }])
    expect([stream.lastEventId, stream.comments]).toEqual(['2', 1])
  })

  test('gives the answer where it is no event stream', async () => {
    await using server = await startServer(notFound)
    await using stream = await openEventStream({ url: server.baseUrl })
    expect([stream.status, stream.body]).toEqual([404, 'nothing here'])
  })

  test('tells a stream that broke from one that ended', async () => {
    await using server = await startServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
    })
    await using proxy = await startChaosProxy({ target: server, seed: 1 })
    await using stream = await openEventStream({ url: `http://127.0.0.1:${proxy.port}` })
    expect(await stream.events.next()).toEqual({ event: 'message', data: 1 })
    proxy.cutAll()
    await expect(stream.events.next()).rejects.toThrow('terminated')
  })

  test('lets go of the connection when it is closed, and gives up waiting for a head', async () => {
    const closed = new Inbox<string>({ name: 'closed requests' })
    await using server = await startServer((request, response) => {
      response.on('close', () => closed.push(request.url ?? ''))
      if (request.url === '/open')
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    })
    const stream = await openEventStream({ url: `${server.baseUrl}/open` })
    await stream.close()
    expect(await closed.next()).toBe('/open')
    await expect(openEventStream({ url: `${server.baseUrl}/never`, deadlineMs: 20 })).rejects.toThrow(
      'within 20 ms',
    )
    expect(await closed.next()).toBe('/never')
  })
})

describe('the WebSocket client', () => {
  test('matches answers by id, and leaves everything else to the inbox', async () => {
    await using server = await startServer(notFound, (websocket) => {
      const asked: { id: number; command: string }[] = []
      websocket.send('{"type":"goodbye","code":"draining"}')
      websocket.on('message', (data: Buffer) => {
        asked.push(JSON.parse(data.toString()) as { id: number; command: string })
        if (asked.length < 3) return
        for (const { id, command } of asked.toReversed())
          websocket.send(JSON.stringify({ id, ok: true, status: command }))
      })
    })
    await using client = await connectWebSocket({ url: server.streamUrl })
    expect(client.protocol).toBe('turnpike.v1')
    const answers = [client.request('run.cancel', { runId: 'a' }), client.request('auth', { token: 't' })]
    client.sendRaw('{"id":"own","command":"nothing"}')
    expect(await Promise.all(answers)).toEqual([
      { id: 1, ok: true, status: 'run.cancel' },
      { id: 2, ok: true, status: 'auth' },
    ])
    expect(await client.inbox.next()).toEqual({ type: 'goodbye', code: 'draining' })
    expect(await client.inbox.next()).toEqual({ id: 'own', ok: true, status: 'nothing' })
  })

  test('tells how it was closed, and fails what was not answered', async () => {
    await using server = await startServer(notFound)
    await using client = await connectWebSocket({ url: server.streamUrl, protocols: [] })
    const answer = client.request('auth', { token: 't' })
    const websocket = await server.websockets.next()
    await once(websocket, 'message')
    websocket.close(4401, 'unauthorized')
    await expect(answer).rejects.toThrow('Closed with 4401 before the answer')
    expect(await client.closed).toEqual({ code: 4401, reason: 'unauthorized' })
    await expect(client.inbox.next()).rejects.toThrow('has ended')
    await expect(client.request('auth', { token: 't' })).rejects.toThrow('Not open')
  })

  test('stops reading while it is paused', async () => {
    await using server = await startServer(notFound)
    await using client = await connectWebSocket({ url: server.streamUrl })
    const websocket = await server.websockets.next()
    client.pause()
    const frame = JSON.stringify({ type: 'goodbye', code: 'x'.repeat(1 << 20) })
    const sent = Array.from({ length: 16 }, () => new Promise((resolve) => websocket.send(frame, resolve)))
    for (let turn = 0; turn < 100; turn++) {
      client.sendRaw('still writing')
      await once(websocket, 'message')
    }
    expect(client.inbox.size).toBe(0)
    expect(websocket.bufferedAmount).toBeGreaterThan(0)
    client.resume()
    await Promise.all(sent)
    for (const _ of sent) expect(await client.inbox.next()).toMatchObject({ type: 'goodbye' })
  })

  test('gives the status and body of a refused handshake', async () => {
    await using server = await startServer(notFound)
    const refused = connectWebSocket({ url: `ws://127.0.0.1:${server.port}/elsewhere` })
    await expect(refused).rejects.toThrow(HandshakeError)
    await expect(refused).rejects.toMatchObject({ status: 400 })
  })

  test('says no answer within the deadline, and ends at a frame that is no JSON', async () => {
    await using server = await startServer(notFound)
    await using client = await connectWebSocket({ url: server.streamUrl, deadlineMs: 10 })
    await expect(client.request('auth', { token: 't' })).rejects.toThrow('No answer to auth within 10 ms')
    await using other = await connectWebSocket({ url: server.streamUrl })
    await server.websockets.next()
    ;(await server.websockets.next()).send('what?')
    await expect(other.inbox.next()).rejects.toThrow('not of this wire: what?')
    expect(await other.closed).toMatchObject({ code: 1006 })
  })
})

/** A thread that grows by an event a millisecond, served without a gateway; old events are forgotten. */
async function startThread(options: { length: number; window: number; skipOnce?: number }) {
  const { length, window } = options
  let { skipOnce } = options
  const log: ThreadEvent[] = []
  const wakers = new Set<() => void>()
  const input: Message = { id: 'in', role: 'user', parts: [], status: 'done', createdAt: 1 }
  const append = (payload: object) => {
    const seq = log.length + 1
    const envelope = { id: mintEventId(1_000 + seq, seq), seq, threadId: 't', runId: 'r', ts: 1_000 + seq }
    log.push({ ...envelope, ...payload } as ThreadEvent)
    for (const wake of wakers) wake()
  }
  append({ type: 'start', agent: 'a', input, messageId: 'out' })
  const timer = setInterval(() => {
    if (log.length < length)
      return append({ type: 'text-delta', channel: 'answer', delta: `<${log.length}>` })
    append({ type: 'finish', agent: 'a', finishReason: 'stop', text: '', steps: 1, usage: {} })
    clearInterval(timer)
  }, 1)

  /** Where a reader begins, and its history where that is not its own place. */
  const place = (lastEventId: string) => {
    const { id, seq } = parseEventId(lastEventId)
    const head = log.at(-1)?.id
    if (id === head || seq >= log.length - window) return { recovered: true as const, seq }
    const history = log.reduce(reduce, [] as readonly Message[])
    return { recovered: false as const, cause: 'expired' as const, seq: log.length, head, history }
  }
  const follow = (from: number, write: (event: ThreadEvent) => void) => {
    let position = from
    const pump = () => {
      for (const event of mergeDeltas(log.slice(position))) {
        if (event.seq !== skipOnce) write(event)
        else skipOnce = undefined
      }
      position = log.length
    }
    pump()
    wakers.add(pump)
    return () => wakers.delete(pump)
  }

  const server = await startServer(
    (request, response) => {
      if (request.url !== '/threads/t/events') return notFound(request, response as never)
      const { seq, ...opening } = place(String(request.headers['last-event-id']))
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      const send = (id: EventId | undefined, data: object) =>
        response.write(`id: ${id}\nevent: e\ndata: ${JSON.stringify(data)}\n\n`)
      if (!opening.recovered) send(opening.head, { type: 'thread.reset', threadId: 't', ...opening })
      response.on(
        'close',
        follow(seq, (event) => send(event.id, event)),
      )
    },
    (websocket) =>
      websocket.once('message', (data: Buffer) => {
        const { id, payload } = JSON.parse(data.toString()) as { id: number; payload: Record<string, string> }
        if (payload['threadId'] !== 't') {
          return websocket.send(
            JSON.stringify({ id, ok: false, error: { code: 'unknown-thread', message: 'no' } }),
          )
        }
        const { seq, ...opening } = place(String(payload['lastEventId']))
        websocket.send(JSON.stringify({ id, ok: true, ...opening }))
        websocket.on(
          'close',
          follow(seq, (event) => websocket.send(JSON.stringify(event))),
        )
      }),
  )
  return {
    log,
    port: server.port,
    baseUrl: server.baseUrl,
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await server[Symbol.asyncDispose]()
    },
  }
}

describe('the follower', () => {
  for (const wire of ['websocket', 'sse', 'mixed'] as const) {
    test(`has an exact history over ${wire}, cut and sliced at random`, async () => {
      await using thread = await startThread({ length: 400, window: 40 })
      await using proxy = await startChaosProxy({
        target: thread,
        seed: 11,
        faults: { cutEveryMs: [5, 60], sliceBytes: [1, 200], stallMs: [1, 5] },
      })
      const followed = await followThread({
        wire,
        baseUrl: `http://127.0.0.1:${proxy.port}`,
        threadId: 't',
        random: createRandom(3),
        livenessMs: 100,
        deadlineMs: 15_000,
      })
      const { log } = thread
      expect(checkHistory({ log, records: followed.records })).toEqual([])
      expect(followed.messages).toEqual(
        JSON.parse(JSON.stringify(log.reduce(reduce, [] as readonly Message[]))),
      )
      expect(followed.lastEventId).toBe(log.at(-1)?.id)
      expect(followed.connects).toBeGreaterThan(1)
    })
  }

  test('is reset where its place is gone, and the checker accepts that', async () => {
    await using thread = await startThread({ length: 100, window: 5 })
    while (thread.log.length < 50) await new Promise((resolve) => setTimeout(resolve, 1))
    for (const wire of ['websocket', 'sse'] as const) {
      const followed = await followThread({ ...thread, wire, threadId: 't', random: createRandom(1) })
      expect(followed.resets).toBe(1)
      expect(checkHistory({ log: thread.log, records: followed.records })).toEqual([])
    }
  })

  test('comes back for what it was not given, and the checker tells that it was not', async () => {
    for (const wire of ['websocket', 'sse'] as const) {
      await using thread = await startThread({ length: 50, window: 100, skipOnce: 20 })
      // The watchdog would come back too, but past the deadline.
      const patient = { livenessMs: 3_000, deadlineMs: 2_000 }
      const random = createRandom(1)
      const followed = await followThread({ ...thread, ...patient, wire, threadId: 't', random })
      expect(checkHistory({ log: thread.log, records: followed.records })).toMatchObject([
        { kind: 'SILENT-GAP', at: 20 },
      ])
      expect(followed.connects).toBe(2)
    }
  })

  test('gives up where it is refused for good, and past its deadline', async () => {
    await using thread = await startThread({ length: 10, window: 100 })
    const common = { baseUrl: thread.baseUrl, random: createRandom(1) }
    for (const wire of ['websocket', 'sse'] as const) {
      await expect(followThread({ ...common, wire, threadId: 'other' })).rejects.toThrow(
        'The server refused: 404',
      )
      const endless = { ...common, wire, until: () => false, livenessMs: 20, deadlineMs: 60 }
      await expect(followThread({ ...endless, threadId: 't' })).rejects.toThrow('Not done within 60 ms')
    }
  })
})
