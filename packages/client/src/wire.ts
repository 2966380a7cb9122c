// For those who write a wire; the main entry has all that a user needs.
import type {
  Answers,
  CommandName,
  GatewayError,
  PayloadOf,
  ThreadEvent,
  ThreadReset,
} from '@turnpike/protocol'
import type { Clock } from './clock.ts'

/** What comes unasked over a link. */
export type Inbound = ThreadEvent | ThreadReset

/** Why a link ended. */
export interface LinkEnd {
  /** Whether the server was reached over this wire: what fails before may be blocked on the way. */
  readonly reached: boolean
  readonly closeCode?: number
  /** What the server said. */
  readonly error?: GatewayError
  /** How long the server asks to wait. */
  readonly retryAfterMs?: number
  /** Lets in once, in place of a token. */
  readonly ticket?: string
}

/** What a wire reports. After {@link Link.close} it reports nothing more. */
export interface LinkHandlers {
  /** The server has let this client in. */
  readonly onOpen: () => void
  readonly onFrame: (frame: Inbound) => void
  /** Once, also where it never opened. */
  readonly onEnd: (end: LinkEnd) => void
}

/** Where to, and as whom. */
export interface LinkAddress {
  /** `https://host/base`, with no slash at the end. */
  readonly url: string
  readonly token: string | undefined
  readonly ticket: string | undefined
  readonly clock: Clock
}

/** What became of a command: an answer, a refusal, or nothing, since the link is gone. */
export type Outcome<Name extends CommandName> =
  | { readonly answer: Answers[Name] }
  | { readonly error: GatewayError | LinkLost }

export type Settle<Name extends CommandName> = (outcome: Outcome<Name>) => void

/** One connection over some wire. It does not reconnect, resume or queue. */
export interface Link {
  /** When something last came over it. */
  readonly heardAt: number
  /**
   * Sends a command. `settle` is called once, and before any event that the command brings: a promise would resolve
   * too late for that.
   */
  request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>, settle: Settle<Name>): void
  /** Finds out whether the server is still there; ends the link if not. */
  probe(): void
  close(): void
}

/** A way to speak to the gateway: one file in `wires/`. */
export interface Wire {
  readonly name: string
  open(address: LinkAddress, handlers: LinkHandlers): Link
}

/** A command has no answer because its link is gone. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost'

  constructor() {
    super('The connection ended before the answer.')
  }
}
