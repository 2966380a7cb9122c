import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { GatewayError } from '@turnpike/protocol'
import { CHAT_PING, CHAT_PONG, chatJson, chatRefusal, readChatRequest } from '@turnpike/protocol/chat-json'
import { type Frame, type Request, decodeCommand } from '@turnpike/protocol/wire'
import type { Connection, Handled } from '../../connections/connection.ts'
import type { Gateway } from '../../gateway.ts'
import { type Attachment, type Link, bytesOf } from '../../links/link.ts'
import type { SendSettings } from '../../runs/run-requests.ts'
import type { Session } from '../../connections/session.ts'
import type { ChatAgents } from '../chat-agents.ts'
import { executeMakingRoom } from '../making-room.ts'

export interface ChatSocketOptions {
  readonly gateway: Gateway
  readonly agents: ChatAgents
  readonly onClose: (socket: ChatSocket) => void
}

/** One client of chat JSON: any number of chats in flight, and a session of its own for those that name none. */
export class ChatSocket {
  readonly #options: ChatSocketOptions
  readonly #link: Link
  readonly #connection: Connection
  readonly #sessionId = randomUUID()
  #stopPings: () => void

  constructor(link: Link, request: IncomingMessage, options: ChatSocketOptions) {
    const { gateway } = options
    this.#options = options
    this.#link = link
    this.#stopPings = this.#pingLater()
    this.#connection = gateway.accept(link, chatJson, {
      presented: gateway.admission.presentedWith(request),
      commands: (asked, session) => this.#carryOut(asked, session),
      onEnd: () => {
        this.#stopPings()
        options.onClose(this)
      },
    })
  }

  /** Where the wire reports what happens on the link. */
  get attachment(): Attachment {
    return this.#connection
  }

  /** Tells the client why, and closes. */
  goodbye(error: GatewayError): void {
    this.#connection.goodbye(error)
  }

  async #carryOut({ command: type, payload: fields }: Request, session: Session): Promise<Handled> {
    if (type === 'ping') this.#say(CHAT_PONG)
    if (type === 'ping' || type === 'pong') return { answer: undefined }
    const { userId, command, payload } = readChatRequest(type, fields)
    const canonical = decodeCommand(command, this.#completed(command, payload))
    // A connection handles it itself.
    if (canonical.name === 'auth')
      throw new GatewayError('forbidden', 'Who this connection is of, is settled.')
    const settings: SendSettings = {
      findAgent: this.#options.agents.find,
      awaitsEnd: true,
      ...(userId !== undefined && { chargedTo: userId }),
    }
    try {
      return await executeMakingRoom(session, canonical, { settings })
    } catch (error) {
      if (canonical.name !== 'run.cancel' || !isUnknownRun(error)) throw error
      this.#say(chatRefusal(error.toJSON(), canonical.payload.runId))
      return { answer: undefined }
    }
  }

  /** A chat that names no session is of the socket's own. */
  #completed(command: string, payload: unknown): unknown {
    return command === 'thread.send' ? { threadId: this.#sessionId, ...(payload as object) } : payload
  }

  /** Beside the pings of the protocol, for clients that cannot see those. */
  #pingLater(): () => void {
    const { wheel, limits } = this.#options.gateway
    const { pingIntervalMs } = limits
    if (pingIntervalMs === 0) return () => {}
    return wheel.schedule(pingIntervalMs, () => {
      // Nothing is said before admission, and nothing on top of what the client has not taken.
      if (this.#connection.isAdmitted && this.#link.bufferedBytes === 0) this.#say(CHAT_PING)
      this.#stopPings = this.#pingLater()
    })
  }

  #say(frame: Frame): void {
    const { framing } = this.#link
    const bytes = bytesOf(framing, [frame])
    this.#link.write(bytes)
    this.#options.gateway.metrics.wire(framing.name).wrote(1, bytes.length)
  }
}

function isUnknownRun(error: unknown): error is GatewayError {
  return error instanceof GatewayError && error.code === 'unknown-run'
}
