import type { Answers, ErrorBody, PayloadOf, ThreadEvent, ThreadReset } from '@turnpike/protocol'
import { type SocketIoClient, type SocketIoEvent, connectSocketIo } from './socket-io-client.ts'
import { openEventStream } from './sse-client.ts'
import { type StreamFrame, type WebSocketClient, connectWebSocket } from './websocket-client.ts'

/** A run or a thread being followed over some wire. */
export interface WireStream extends AsyncDisposable {
  /** The next event or reset. */
  next(): Promise<ThreadEvent | ThreadReset>
  /** Frames up to the first that matches, which is the last of the result. */
  until(predicate: (frame: ThreadEvent | ThreadReset) => boolean): Promise<(ThreadEvent | ThreadReset)[]>
  /** Loses the connection without a word. */
  cut(): Promise<void>
}

/** What a client can do over one wire; a refusal rejects with {@link Refusal}. */
export interface Wire {
  readonly name: string
  send(baseUrl: string, payload: PayloadOf<'thread.send'>): Promise<WireStream>
  subscribe(baseUrl: string, payload: PayloadOf<'thread.subscribe'>): Promise<WireStream>
  /** Sends a command as it is, for the sake of the answer. */
  cancel(baseUrl: string, runId: string): Promise<string>
}

/** What a server refused, with the error as it came over the wire. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: string

  constructor({ code, message }: ErrorBody) {
    super(`${code}: ${message}`)
    this.code = code
  }
}

/** The native WebSocket at `/stream`. */
export const websocketWire: Wire = duplexWire('WebSocket', (baseUrl) =>
  connectWebSocket({ url: streamUrl(baseUrl) }),
)

/** The HTTP routes with Server-Sent Events. */
export const sseWire: Wire = {
  name: 'SSE',
  send: (baseUrl, { agent = 'default', ...body }) =>
    overEvents(`${baseUrl}/agents/${encodeURIComponent(agent)}/chat/stream`, { body }),
  subscribe(baseUrl, { threadId, lastEventId, reasoning }) {
    const url = `${baseUrl}/threads/${encodeURIComponent(threadId)}/events${reasoning ? '?reasoning=1' : ''}`
    return overEvents(url, lastEventId === undefined ? {} : { headers: { 'last-event-id': lastEventId } })
  },
  async cancel(baseUrl, runId) {
    const response = await fetch(`${baseUrl}/runs/${encodeURIComponent(runId)}/cancel`, { method: 'POST' })
    const body = (await response.json()) as { status: string; error?: ErrorBody }
    if (body.error) throw new Refusal(body.error)
    return body.status
  },
}

/** Socket.IO at `/streaming`, over some of its transports; with both of them, it changes over in mid-stream. */
export function socketIoWire(transports: readonly ('polling' | 'websocket')[]): Wire {
  return duplexWire(`Socket.IO ${transports.join('+')}`, (baseUrl) =>
    connectSocketIo({ url: baseUrl, transports }),
  )
}

/** A wire on which a client asks and is told over one connection. */
function duplexWire(
  name: string,
  connect: (baseUrl: string) => Promise<WebSocketClient | SocketIoClient>,
): Wire {
  return {
    name,
    send: async (baseUrl, payload) => over(await connect(baseUrl), 'thread.send', payload),
    subscribe: async (baseUrl, payload) => over(await connect(baseUrl), 'thread.subscribe', payload),
    async cancel(baseUrl, runId) {
      await using client = await connect(baseUrl)
      const answer = await client.request('run.cancel', { runId })
      if (!answer.ok) throw new Refusal(answer.error)
      return answer.status
    },
  }
}

async function over(
  client: WebSocketClient | SocketIoClient,
  command: 'thread.send' | 'thread.subscribe',
  payload: { threadId?: string | undefined },
): Promise<WireStream> {
  const answer = await client.request(command, payload)
  if (!answer.ok) {
    client.terminate()
    throw new Refusal(answer.error)
  }
  const first = resetsIn(answer, payload.threadId ?? '')
  return streamOf({
    next: async () => first.shift() ?? told(await client.inbox.next()),
    async cut() {
      client.terminate()
      await client.closed
    },
  })
}

/** The answer to a subscription says what another wire says with a reset. */
function resetsIn(answer: Answers['thread.send' | 'thread.subscribe'], threadId: string): ThreadReset[] {
  if (!('recovered' in answer) || answer.recovered || !answer.cause) return []
  const { cause, head, history, more } = answer
  return [{ type: 'thread.reset', threadId, cause, head, history, ...(more && { more }) }]
}

async function overEvents(
  url: string,
  request: { body?: unknown; headers?: Record<string, string> },
): Promise<WireStream> {
  const client = await openEventStream({ url, ...request })
  if (client.body !== undefined) throw new Refusal((JSON.parse(client.body) as { error: ErrorBody }).error)
  return streamOf({
    async next() {
      const { event, id, data } = await client.events.next()
      const frame = data as ThreadEvent | ThreadReset
      const named = frame.type === 'thread.reset' ? frame.head : frame.id
      if (event !== frame.type || id !== named)
        throw new Error(`The block of ${named} is named ${event}, ${id}.`)
      return frame
    },
    cut: () => client.close(),
  })
}

function streamOf({ next, cut }: Pick<WireStream, 'next' | 'cut'>): WireStream {
  return {
    next,
    cut,
    async until(predicate) {
      const frames: (ThreadEvent | ThreadReset)[] = []
      for (;;) {
        const frame = await next()
        frames.push(frame)
        if (predicate(frame)) return frames
      }
    },
    [Symbol.asyncDispose]: cut,
  }
}

function told(frame: StreamFrame | SocketIoEvent): ThreadEvent | ThreadReset {
  if ('seq' in frame || frame.type === 'thread.reset') return frame
  throw new Error(`Expected an event, got ${JSON.stringify(frame)}.`)
}

function streamUrl(baseUrl: string): string {
  return `${baseUrl.replace(/^http/, 'ws')}/stream`
}
