import { LIMITS } from '@turnpike/protocol'
import { newId } from './new-id.ts'

/** The thread that the address names, `#thread=<id>`; an address that names none is given a new one. */
export function threadOfAddress(): string {
  const named = new URLSearchParams(location.hash.slice(1)).get('thread')
  if (named && named.length <= LIMITS.idChars) return named
  const threadId = newId()
  history.replaceState(null, '', addressOf(threadId))
  return threadId
}

/** Puts a new thread into the address; the one before stays a step back. */
export function openNewThread(): void {
  location.hash = addressOf(newId())
}

function addressOf(threadId: string): string {
  return `#${new URLSearchParams({ thread: threadId }).toString()}`
}
