import type { Runnable } from '@turnpike/agents'
import type {
  Answer,
  Answers,
  CommandName,
  EventOf,
  EventType,
  PayloadOf,
  ThreadEvent,
} from '@turnpike/protocol'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { type Attachment, Gateway, type GatewayOptions, type Logger } from '@turnpike/gateway'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import { MemoryStore } from '@turnpike/gateway/memory-store'
import { TestLink } from '@turnpike/testkit'

/** A logger that keeps what it is told. */
export function recordingLogger(): Logger & { readonly errors: object[] } {
  const errors: object[] = []
  return { errors, error: (fields) => errors.push(fields), info() {} }
}

/** A gateway with everything in memory, and no wire. */
export function testGateway(agents: readonly Runnable[], options: Partial<GatewayOptions> = {}): Gateway {
  const { limits } = options
  const log = new MemoryLog(limits ? { limits } : {})
  return new Gateway({ log, store: new MemoryStore(), agents, logger: recordingLogger(), ...options })
}

/** A client of the native vocabulary on a link in memory. */
export class LinkClient {
  readonly link = new TestLink()
  readonly attachment: Attachment
  #lastId = 0
  readonly #waiting = new Set<() => void>()

  constructor(gateway: Gateway, token?: string) {
    this.attachment = gateway.accept(this.link, threadStream, token)
    this.link.onWrite = () => {
      for (const check of this.#waiting) check()
    }
  }

  get events(): ThreadEvent[] {
    return this.link.frames.filter(isEvent)
  }

  async request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<Answer<Name>> {
    const id = ++this.#lastId
    this.attachment.receive(JSON.stringify({ id, command, payload }))
    return this.#frame((frame): frame is Answer<Name> => 'id' in frame && frame.id === id)
  }

  /** As {@link request}, for what is expected to succeed. */
  async ask<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<Answers[Name]> {
    const answer = await this.request(command, payload)
    if (answer.ok) return answer
    throw new Error(`${command}: ${answer.error.code}`)
  }

  /** As {@link request}, for what is expected to be refused; resolves with the code. */
  async refusal<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<string> {
    const answer = await this.request(command, payload)
    return answer.ok ? 'not refused' : answer.error.code
  }

  /** The first event of that type, of that run where one is given; those received earlier count. */
  event<Type extends EventType>(type: Type, runId?: string): Promise<EventOf<Type>> {
    return this.#frame(
      (frame): frame is EventOf<Type> =>
        isEvent(frame) && frame.type === type && (runId === undefined || frame.runId === runId),
    )
  }

  /** The `finish` or `error` of a run. */
  end(runId: string): Promise<EventOf<'finish'> | EventOf<'error'>> {
    return this.#frame(
      (frame): frame is EventOf<'finish'> | EventOf<'error'> =>
        isEvent(frame) && frame.runId === runId && (frame.type === 'finish' || frame.type === 'error'),
    )
  }

  #frame<Found>(matches: (frame: object) => frame is Found & object): Promise<Found> {
    return new Promise((resolve) => {
      const check = (): void => {
        const found = (this.link.frames as object[]).find(matches)
        if (!found) return
        this.#waiting.delete(check)
        resolve(found as Found)
      }
      this.#waiting.add(check)
      check()
    })
  }
}

function isEvent(frame: unknown): frame is ThreadEvent {
  return typeof frame === 'object' && frame !== null && 'seq' in frame
}
