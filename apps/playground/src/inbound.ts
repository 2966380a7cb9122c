import { type Answer, type ThreadEvent, type ThreadReset } from '@turnpike/protocol'

/** What a server says before it closes a connection. */
export interface Goodbye {
  readonly code: string
  readonly retryAfterMs?: number
}

/** One frame from the server. */
export type Inbound =
  | { readonly kind: 'answer'; readonly id: unknown; readonly answer: Answer }
  | { readonly kind: 'event'; readonly event: ThreadEvent }
  | { readonly kind: 'reset'; readonly reset: ThreadReset }
  | { readonly kind: 'goodbye'; readonly goodbye: Goodbye }

/**
 * Reads a frame.
 *
 * The page comes from the server it talks to, so only what tells frames apart is looked at; the protocol has the types.
 * Nothing for a frame of a kind that a later version may add.
 */
export function readInbound(text: string): Inbound | undefined {
  const frame: unknown = JSON.parse(text)
  if (typeof frame !== 'object' || frame === null) return undefined
  if ('ok' in frame && 'id' in frame)
    return { kind: 'answer', id: frame.id, answer: frame as unknown as Answer }
  if (!('type' in frame)) return undefined
  if (frame.type === 'goodbye') return { kind: 'goodbye', goodbye: frame as unknown as Goodbye }
  if (frame.type === 'thread.reset') return { kind: 'reset', reset: frame as unknown as ThreadReset }
  return 'seq' in frame ? { kind: 'event', event: frame as unknown as ThreadEvent } : undefined
}
