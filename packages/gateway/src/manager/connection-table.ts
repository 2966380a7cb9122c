import type { Peer } from './peer.ts'

/** The connections that are open, by id and by user, the oldest first. */
export class ConnectionTable {
  readonly #byId = new Map<string, Peer>()
  /** Most users have one connection, and a set costs more than that. */
  readonly #byUser = new Map<string, Peer | Set<Peer>>()

  get size(): number {
    return this.#byId.size
  }

  add(peer: Peer): void {
    const { id, user } = peer.connection
    this.#byId.set(id, peer)
    if (!user) return
    const theirs = this.#byUser.get(user.id)
    if (theirs === undefined) this.#byUser.set(user.id, peer)
    else if (theirs instanceof Set) theirs.add(peer)
    else this.#byUser.set(user.id, new Set([theirs, peer]))
  }

  delete(peer: Peer): void {
    const { id, user } = peer.connection
    if (!this.#byId.delete(id) || !user) return
    const theirs = this.#byUser.get(user.id)
    if (theirs instanceof Set) theirs.delete(peer)
    if (theirs === peer || (theirs instanceof Set && theirs.size === 0)) this.#byUser.delete(user.id)
  }

  get(id: string): Peer | undefined {
    return this.#byId.get(id)
  }

  ofUser(userId: string): readonly Peer[] {
    const theirs = this.#byUser.get(userId)
    if (theirs === undefined) return []
    return theirs instanceof Set ? [...theirs] : [theirs]
  }

  all(): readonly Peer[] {
    return [...this.#byId.values()]
  }
}
