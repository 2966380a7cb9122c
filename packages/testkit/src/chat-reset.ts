import { isDeepStrictEqual } from 'node:util'
import { type EventId, type Message, type ThreadEvent, reduce } from '@turnpike/protocol'
import { withoutReasoning } from '@turnpike/protocol/wire'

/**
 * Finds where a history ends that does not say so: the first place, not before `from`, up to which the log folds into it.
 *
 * @param history - As it was told; where it says that there is `more`, the end of it all.
 */
export function headOfHistory(
  log: readonly ThreadEvent[],
  history: readonly Message[],
  { from, more = false }: { from: number; more?: boolean },
): EventId | undefined {
  const wanted = plain(history)
  let messages: readonly Message[] = []
  for (const event of log) {
    messages = reduce(messages, event)
    const isShorter = messages.length < history.length
    if (event.seq < from || isShorter || (!more && messages.length > history.length)) continue
    const told = messages.slice(messages.length - history.length).map(withoutReasoning)
    if (isDeepStrictEqual(plain(told), wanted)) return event.id
  }
  return undefined
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
