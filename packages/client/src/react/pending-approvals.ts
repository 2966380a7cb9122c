import type { Message, MessagePart } from '@turnpike/protocol'
import { Listeners } from './listeners.ts'
import type { ThreadStore } from './thread-store.ts'

/** A call of a tool that somebody has to decide about. */
export interface PendingApproval {
  readonly approvalId: string
  readonly threadId: string
  readonly runId: string
  readonly tool: string
  /** What the model gave; `null` where it gave nothing. */
  readonly args: unknown
  readonly expiresAt: number
}

const NONE: readonly PendingApproval[] = []

/** What waits for a decision, in all threads that are followed, the earliest to expire first. */
export class PendingApprovals {
  readonly #listeners = new Listeners()
  readonly #ofPart = new WeakMap<MessagePart, PendingApproval>()
  readonly #ofMessages = new WeakMap<readonly Message[], readonly PendingApproval[]>()
  #pending = NONE

  readonly getPending = (): readonly PendingApproval[] => this.#pending

  readonly getInitial = (): readonly PendingApproval[] => NONE

  readonly onChange = (listener: () => void): (() => void) => this.#listeners.add(listener)

  /** Looks again at all threads. */
  update(stores: Iterable<ThreadStore>): void {
    // The same thread may be there twice, with reasoning and without.
    const found = new Map<string, PendingApproval>()
    for (const store of stores) {
      if (!store.isFollowed) continue
      for (const each of this.#of(store)) found.set(each.approvalId, found.get(each.approvalId) ?? each)
    }
    const pending = [...found.values()].sort((a, b) => a.expiresAt - b.expiresAt)
    const isSame =
      pending.length === this.#pending.length && pending.every((each, i) => each === this.#pending[i])
    if (isSame) return
    this.#pending = pending
    this.#listeners.tell()
  }

  #of(store: ThreadStore): readonly PendingApproval[] {
    const { messages } = store.getSnapshot()
    const known = this.#ofMessages.get(messages)
    if (known) return known
    const pending = messages.flatMap((message) => this.#in(message, store.threadId))
    this.#ofMessages.set(messages, pending)
    return pending
  }

  #in({ status, runId, parts }: Message, threadId: string): PendingApproval[] {
    if (status !== 'open' || runId === undefined) return []
    return parts.flatMap((part) => {
      if (part.type !== 'tool' || part.state !== 'approval' || !part.approval) return []
      const { tool, args = null, approval } = part
      if (approval.approved !== undefined) return []
      const { approvalId, expiresAt } = approval
      const pending = this.#ofPart.get(part) ?? { approvalId, threadId, runId, tool, args, expiresAt }
      this.#ofPart.set(part, pending)
      return pending
    })
  }
}
