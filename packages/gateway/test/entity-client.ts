import { Inbox } from '@turnpike/testkit'
import { WebSocket } from 'ws'

export type EntityFrame = Readonly<Record<string, unknown>>

interface EntityClientOptions {
  /** `ws://127.0.0.1:3000/connections` */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
}

/** An entity that does nothing by itself. */
export class EntityClient implements AsyncDisposable {
  /** All that comes but the answers to `request`. */
  readonly inbox = new Inbox<EntityFrame>({ name: 'frames of an entity' })
  readonly opened: Promise<unknown>
  readonly closed: Promise<number>
  readonly #websocket: WebSocket
  readonly #waiting = new Map<unknown, (answer: EntityFrame) => void>()
  #lastId = 0

  constructor({ url, headers = {} }: EntityClientOptions) {
    const websocket = new WebSocket(url, ['turnpike.v1'], { headers })
    this.#websocket = websocket
    const opened = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<number>()
    opened.promise.catch(() => {})
    this.opened = opened.promise
    this.closed = closed.promise
    websocket.once('open', opened.resolve)
    websocket.on('error', opened.reject)
    websocket.once('close', (code) => {
      this.inbox.end()
      closed.resolve(code)
    })
    websocket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as EntityFrame
      const settle = this.#waiting.get(frame['id'])
      if (settle) settle(frame)
      else this.inbox.push(frame)
    })
  }

  /** Sends a command, and resolves with its answer. */
  request(command: string, payload: unknown): Promise<EntityFrame> {
    const id = ++this.#lastId
    const { promise, resolve } = Promise.withResolvers<EntityFrame>()
    this.#waiting.set(id, resolve)
    this.send({ id, command, payload })
    return promise
  }

  /** Sends a frame as it is; what answers it comes to the inbox. */
  send(frame: unknown): void {
    this.#websocket.send(JSON.stringify(frame))
  }

  /** The next call that it is asked to make. */
  async call(): Promise<EntityFrame & { callId: string }> {
    const frames = await this.inbox.until(({ type }) => type === 'tool.call')
    const call = frames.at(-1) ?? {}
    return { ...call, callId: String(call['callId']) }
  }

  pause(): void {
    this.#websocket.pause()
  }

  terminate(): void {
    this.#websocket.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.terminate()
    await this.closed
  }
}

/** An entity that is open, and has registered tools that take anything. */
export async function connectEntity(
  options: EntityClientOptions & { readonly tools: readonly string[] },
): Promise<EntityClient> {
  const entity = new EntityClient(options)
  await entity.opened
  const answer = await entity.request('tool.register', {
    tools: options.tools.map((name) => ({ name, description: name, parameters: { type: 'object' } })),
  })
  if (answer['ok'] !== true) throw new Error(`It may not register: ${JSON.stringify(answer)}`)
  return entity
}
