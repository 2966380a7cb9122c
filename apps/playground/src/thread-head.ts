import { type EventId } from '@turnpike/protocol'

/**
 * How far a thread has gone: the id of its newest event.
 *
 * A recovered subscription goes on behind the reader's own place and does not say how much is to come.
 */
export async function headOf(threadId: string): Promise<EventId | undefined> {
  try {
    const path = `/threads/${encodeURIComponent(threadId)}/messages?limit=1`
    const response = await fetch(path, { signal: AbortSignal.timeout(5_000) })
    if (!response.ok) return undefined
    const { head } = (await response.json()) as { head: EventId }
    return head
  } catch {
    // Only the number in the note depends on it.
    return undefined
  }
}
