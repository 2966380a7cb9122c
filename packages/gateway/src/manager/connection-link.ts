import type { Frame } from '@turnpike/protocol/wire'
import { type Attachment, type Framing, type Link, bytesOf } from '../links/link.ts'
import type { Channel } from './channel.ts'
import { channelOf } from './remembered-peers.ts'
import type { WebSocketConnection } from './websocket-handler.ts'

/** A managed connection as the gateway sees it, for frames that are of this connection alone. */
export class ConnectionLink implements Link {
  readonly framing: Framing
  readonly #channel: Channel
  #attachment: Attachment | undefined
  #isWatched = false

  constructor(connection: WebSocketConnection) {
    this.#channel = channelOf(connection)
    this.framing = { ...this.#channel.framing, scope: connection.id }
  }

  get bufferedBytes(): number {
    return this.#channel.bufferedBytes
  }

  attach(attachment: Attachment): void {
    this.#attachment = attachment
  }

  write(bytes: Uint8Array): void {
    this.#channel.writeFrames(bytes)
    if (this.#isWatched || this.bufferedBytes === 0) return
    this.#isWatched = true
    this.#channel.onceDrained(() => {
      this.#isWatched = false
      this.#attachment?.drained()
    })
  }

  /** Writes a frame that is no event. */
  say(frame: Frame): void {
    this.write(bytesOf(this.framing, [frame]))
  }

  /** The manager paces what a connection sends. */
  pause(): void {}

  close(code: number, reason: string): void {
    this.#channel.close(code, reason)
  }
}
