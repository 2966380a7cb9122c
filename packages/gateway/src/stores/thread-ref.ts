import type { Principal } from '@turnpike/agents'

declare const kind: unique symbol

/** A thread's identity inside the server: whose it is and what its owner calls it. */
export type ThreadKey = string & { readonly [kind]: 'thread-key' }

/** A thread as one principal means it. Two users' `"default"` never meet. */
export interface ThreadRef {
  readonly owner: string
  /** The id that clients know. */
  readonly id: string
  readonly key: ThreadKey
}

/** Who everybody is where nobody has to authenticate. */
export const ANONYMOUS: Principal = { id: 'anonymous' }

/** The thread that `principal` means by `id`. */
export function threadRef(principal: Pick<Principal, 'id'>, id: string): ThreadRef {
  return { owner: principal.id, id, key: ownedKey(principal.id, id) as ThreadKey }
}

/** Joins an id that a client chose with its owner; JSON keeps any two pairs apart. */
export function ownedKey(owner: string, id: string): string {
  return JSON.stringify([owner, id])
}
