import type { Client } from '../client.ts'

/** Who was refused since the connection follows too many threads, until another store lets go of one. */
export class SubscriptionRoom {
  /** How often something was let go of: who was refused meanwhile need not wait. */
  freed = 0
  readonly #waiting = new Set<() => void>()

  /** Calls back once, when there may be room; returns what calls it off. */
  wait(act: () => void): () => void {
    this.#waiting.add(act)
    return () => void this.#waiting.delete(act)
  }

  free(): void {
    this.freed++
    const acts = [...this.#waiting]
    this.#waiting.clear()
    for (const act of acts) act()
  }
}

const rooms = new WeakMap<Client, SubscriptionRoom>()

/** What the stores of this client share. */
export function roomOf(client: Client): SubscriptionRoom {
  const known = rooms.get(client)
  if (known) return known
  const room = new SubscriptionRoom()
  rooms.set(client, room)
  return room
}
