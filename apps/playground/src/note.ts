import { type Message, type ResetCause } from '@turnpike/protocol'

/** A line between messages that tells what became of the connection. */
export interface Note {
  readonly kind: 'away' | 'resumed' | 'reset'
  readonly text: string
  /** The message it stands behind; none at the beginning. */
  readonly after: string | undefined
}

const RESETS: Record<ResetCause, string> = {
  expired: 'Too long away: history reloaded (expired)',
  lagged: 'Too slow to keep up: history reloaded (lagged)',
  unknown: 'The server does not know where we were: history reloaded (unknown)',
  'rolled-back': 'The server has gone back in time: history reloaded (rolled-back)',
}

/** Adds a note; a message has one at most, the latest. */
export function withNote(notes: readonly Note[], note: Note): readonly Note[] {
  return [...notes.filter(({ after }) => after !== note.after), note]
}

export function awayNote(after: string | undefined, facts: { cut: boolean; running: boolean }): Note {
  if (!facts.cut) return { kind: 'away', after, text: 'Connection lost. It comes back by itself.' }
  const running = facts.running ? ' The run goes on in the server.' : ''
  return { kind: 'away', after, text: `Connection cut.${running}` }
}

export function resumedNote(after: string | undefined, replayed: number): Note {
  const events = `${replayed} ${replayed === 1 ? 'event' : 'events'}`
  return {
    kind: 'resumed',
    after,
    text: replayed === 0 ? 'Resumed: nothing was missed' : `Resumed: ${events} replayed, none lost`,
  }
}

export function resetNote(messages: readonly Message[], cause: ResetCause): Note {
  return { kind: 'reset', after: messages.at(-1)?.id, text: RESETS[cause] }
}

export const FORGOTTEN: Note = {
  kind: 'reset',
  after: undefined,
  text: 'The server no longer knows this thread. It begins anew with your next message.',
}
