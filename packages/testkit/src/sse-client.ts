import { Inbox } from './inbox.ts'

/** One event of a stream. */
export interface StreamEvent<Data = string> {
  /** Present where the event named one. */
  readonly id?: string
  /** @default 'message' */
  readonly event: string
  readonly data: Data
}

/** Reads `text/event-stream` in whatever pieces it comes: the algorithm of the HTML standard, section 9.2.6. */
export class EventStreamParser {
  // It takes the byte order mark off, and keeps a character that is cut in two.
  readonly #decoder = new TextDecoder()
  #line = ''
  #lineFeedDue = false
  #data: string[] = []
  #event = ''
  #id: string | undefined
  #lastEventId = ''
  #retryMs: number | undefined
  #comments = 0

  /** The last id named, by an event or by a block without data. */
  get lastEventId(): string {
    return this.#lastEventId
  }

  /** How long the server asks a reader to wait before it reconnects. */
  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /** Comments so far: what a server sends to keep a connection alive. */
  get comments(): number {
    return this.#comments
  }

  /** The events that these bytes complete. What is incomplete at the end of a stream is no event. */
  push(bytes: Uint8Array): StreamEvent[] {
    const events: StreamEvent[] = []
    let text = this.#decoder.decode(bytes, { stream: true })
    if (text === '') return events
    // A line feed right after a carriage return belongs to it, also where it comes in the next piece.
    if (this.#lineFeedDue && text.startsWith('\n')) text = text.slice(1)
    const lines = text.split(/\r\n|\r|\n/)
    this.#lineFeedDue = text.endsWith('\r')
    const rest = lines.pop() ?? ''
    for (const line of lines) {
      const event = this.#take(this.#line + line)
      this.#line = ''
      if (event) events.push(event)
    }
    this.#line += rest
    return events
  }

  #take(line: string): StreamEvent | undefined {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    if (colon === 0) this.#comments++
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'data') this.#data.push(value)
    else if (name === 'event') this.#event = value
    else if (name === 'id' && !value.includes('\0')) this.#id = value
    else if (name === 'retry' && /^\d+$/.test(value)) this.#retryMs = Number(value)
    return undefined
  }

  #dispatch(): StreamEvent | undefined {
    const [data, event, id] = [this.#data, this.#event, this.#id]
    this.#data = []
    this.#event = ''
    this.#id = undefined
    if (id !== undefined) this.#lastEventId = id
    if (data.length === 0) return undefined
    return { ...(id !== undefined && { id }), event: event || 'message', data: data.join('\n') }
  }
}

/** The events of a whole stream, given in pieces. */
export function parseEventStream(pieces: Iterable<Uint8Array>): StreamEvent[] {
  const parser = new EventStreamParser()
  return Array.from(pieces).flatMap((piece) => parser.push(piece))
}

export interface EventStreamOptions {
  readonly url: string
  readonly method?: string
  /** Sent as JSON; the method is then POST unless it is named. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** Time for the head of the response, and for the next event. @default 10 s */
  readonly deadlineMs?: number
}

/** An open event stream, or what was answered instead. */
export interface EventStreamClient extends AsyncDisposable {
  readonly status: number
  readonly headers: Headers
  /** The text of an answer that is no event stream. */
  readonly body: string | undefined
  /** Events with their data parsed as JSON. Ends with the stream; with an error where it broke. */
  readonly events: Inbox<StreamEvent<unknown>>
  readonly lastEventId: string
  readonly comments: number
  /** Resolves once the connection is let go. */
  close(): Promise<void>
}

/** Sends a request and reads its answer as an event stream. Resolves with the head of the response. */
export async function openEventStream(options: EventStreamOptions): Promise<EventStreamClient> {
  const {
    url,
    body,
    method = body === undefined ? 'GET' : 'POST',
    headers,
    signal,
    deadlineMs = 10_000,
  } = options
  const abort = new AbortController()
  const late = setTimeout(
    () => abort.abort(new Error(`No answer of ${url} within ${deadlineMs} ms.`)),
    deadlineMs,
  )
  try {
    const response = await fetch(url, {
      method,
      headers: {
        accept: 'text/event-stream',
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, abort.signal]) : abort.signal,
    })
    const events = new Inbox<StreamEvent<unknown>>({ name: `events of ${url}`, deadlineMs })
    const parser = new EventStreamParser()
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
    const text = isStream ? undefined : await response.text()
    const read = isStream ? readInto(events, response, parser) : Promise.resolve(events.end())
    const close = (): Promise<void> => {
      events.end()
      abort.abort()
      return read
    }
    return {
      status: response.status,
      headers: response.headers,
      body: text,
      events,
      get lastEventId() {
        return parser.lastEventId
      },
      get comments() {
        return parser.comments
      },
      close,
      [Symbol.asyncDispose]: close,
    }
  } finally {
    clearTimeout(late)
  }
}

async function readInto(
  events: Inbox<StreamEvent<unknown>>,
  response: Response,
  parser: EventStreamParser,
): Promise<void> {
  try {
    for await (const bytes of response.body ?? []) {
      for (const event of parser.push(bytes))
        events.push({ ...event, data: JSON.parse(event.data) as unknown })
    }
    events.end()
  } catch (error) {
    events.end(error)
  }
}
