import type { Principal } from '@turnpike/agents'

/** Who a connection is of. */
export type AuthenticatedUser = Principal

/**
 * A socket as the manager needs it: one of `ws`, or another framework's.
 *
 * With `ping`, pings are native; where the socket cannot tell of pongs with `on('pong', …)`, tell the manager with
 * `handlePong(id)`. Without `bufferedAmount` the manager cannot see that a peer is slow.
 */
export interface ManagedSocket {
  readonly send: (data: string | Uint8Array<ArrayBuffer>) => unknown
  readonly close: (code?: number, reason?: string) => unknown
  readonly ping?: () => unknown
  /** Ends it without a word; used where a close is not answered. */
  readonly terminate?: () => unknown
  readonly bufferedAmount?: number
  /** As in browsers: 1 is open. */
  readonly readyState?: number
}

/** One connection, as handlers see it. */
export interface WebSocketConnection {
  readonly id: string
  readonly socket: ManagedSocket
  readonly user?: AuthenticatedUser
  /** Free for handlers; holds the `path`. */
  readonly metadata: Record<string, unknown>
  /** In ms since the epoch, as all times here. */
  readonly createdAt: number
  /** When something last came from the peer, a pong included. */
  readonly lastActivity: number
}

/** A message of a peer; handlers see `text` and `binary`. */
export interface WebSocketMessage {
  readonly type: 'text' | 'binary' | 'ping' | 'pong' | 'close'
  /** Bytes are an `ArrayBuffer`. */
  readonly data: string | ArrayBuffer
  readonly timestamp: number
}

/**
 * What is done with the connections of a path.
 *
 * What a member throws, or its promise rejects with, reaches `onError`, and the connection lives. Messages come in
 * order; a promise is not waited for before the next one, so that a later message can stop what an earlier one began. Only
 * where `maxPending` of them are out does the next message wait.
 */
export interface WebSocketHandler {
  /** Somebody was let in. Nothing of theirs comes before; but a promise is not waited for. */
  readonly onOpen?: (connection: WebSocketConnection) => unknown
  readonly onMessage?: (connection: WebSocketConnection, message: WebSocketMessage) => unknown
  /** Once for each `onOpen`, however the connection ended: 1006 where there was no close. */
  readonly onClose?: (connection: WebSocketConnection, code: number, reason: string) => unknown
  readonly onError?: (connection: WebSocketConnection, error: Error) => unknown
  /** A peer for which `send` said false has taken what waited for it. Not told of other frameworks' sockets. */
  readonly onDrain?: (connection: WebSocketConnection) => unknown
}

/** What can be sent: text, bytes, or anything else as JSON. */
export type WebSocketData = string | ArrayBuffer | ArrayBufferView | object
