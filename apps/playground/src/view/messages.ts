import { type Message } from '@turnpike/protocol'
import type { Note } from '../note.ts'
import type { Pending } from '../pending.ts'
import type { RunFacts } from '../run-facts.ts'
import type { ThreadState } from '../thread-state.ts'
import { element, setText } from './element.ts'
import { KeyedList, type View } from './keyed-list.ts'
import { type AnswerItem, type MessageActions, assistantMessage, userMessage } from './message.ts'

type Entry = Message | Pending | Note | AnswerItem

/** The conversation, from the first message to those on their way, with notes where the connection was gone. */
export class Messages {
  readonly #list: KeyedList<Entry>
  #answers = new Map<string, AnswerItem>()

  constructor(container: HTMLElement, actions: MessageActions) {
    this.#list = new KeyedList<Entry>(container, keyOf, (entry) => viewOf(entry, actions))
  }

  update(state: ThreadState): void {
    const answers = new Map<string, AnswerItem>()
    const entries: Entry[] = state.notes.filter(({ after }) => after === undefined)
    for (const message of state.messages) {
      entries.push(message.role === 'user' ? message : this.#answer(message, state, answers))
      for (const note of state.notes) if (note.after === message.id) entries.push(note)
    }
    entries.push(...state.pending)
    this.#answers = answers
    this.#list.update(entries)
  }

  /** The same item as before where neither the message nor what is known of its run has changed. */
  #answer(message: Message, state: ThreadState, answers: Map<string, AnswerItem>): AnswerItem {
    const facts: RunFacts | undefined = state.runs.get(message.runId ?? '')
    const before = this.#answers.get(message.id)
    const answer = before?.message === message && before.facts === facts ? before : { message, facts }
    answers.set(message.id, answer)
    return answer
  }
}

/** A message on its way has the key of the message it becomes, and so keeps its place and its view. */
function keyOf(entry: Entry): string {
  if ('facts' in entry) return `answer ${entry.message.id}`
  if ('kind' in entry) return `note ${entry.after ?? ''}`
  return `user ${entry.runId ?? ('id' in entry ? entry.id : '')}`
}

function viewOf(entry: Entry, actions: MessageActions): View<Entry> {
  if ('facts' in entry) {
    const answer = assistantMessage()
    return { node: answer.node, update: (next) => void ('facts' in next && answer.update(next)) }
  }
  if ('kind' in entry) return noteView()
  const user = userMessage(actions)
  return {
    node: user.node,
    update: (next) => void ('facts' in next || 'kind' in next || user.update(next)),
  }
}

function noteView(): View<Entry> {
  const text = element('span')
  const node = element('p', 'note', text)
  return {
    node,
    update(note) {
      if (!('kind' in note)) return
      setText(text, note.text)
      node.dataset['kind'] = note.kind
      node.dataset['testid'] = note.kind === 'away' ? 'away-note' : 'resume-note'
    },
  }
}
