import { type Message, textOf } from '@turnpike/protocol'
import type { Pending } from '../pending.ts'
import type { RunFacts } from '../run-facts.ts'
import { element, setText } from './element.ts'
import { KeyedList, type View } from './keyed-list.ts'
import { type PartItem, keyOfPart, partView } from './part.ts'
import { progressView } from './progress.ts'

/** What can be done with a message that was not taken. */
export interface MessageActions {
  readonly resend: (runId: string) => void
  readonly discard: (runId: string) => void
}

const PROGRESS: Record<Pending['progress'], string> = {
  waiting: 'Goes out when the connection is back',
  sent: '',
  queued: 'Next in line',
  failed: 'Not sent',
}

const ENDINGS: Record<Message['status'], string> = {
  open: '',
  done: '',
  cancelled: 'Stopped',
  failed: 'Failed',
}

/** What the user said; it looks the same from the moment it is sent. */
export function userMessage(actions: MessageActions): View<Message | Pending> {
  const text = element('div', 'bubble text')
  const said = element('span')
  const again = element('button', 'link', 'Try again')
  const drop = element('button', 'link', 'Discard')
  const footer = element('p', 'message-footer', said, again, drop)
  const node = element('article', 'message message-user', text, footer)
  node.setAttribute('aria-label', 'You')
  node.dataset['testid'] = 'message-user'
  return {
    node,
    update(message) {
      const pending = 'progress' in message ? message : undefined
      setText(text, 'progress' in message ? message.text : textOf(message))
      const state = pending ? PROGRESS[pending.progress] : ''
      setText(said, pending?.error ? `${state}: ${pending.error}` : state)
      footer.hidden = state === ''
      again.hidden = drop.hidden = pending?.progress !== 'failed'
      if (!pending) return
      again.onclick = () => actions.resend(pending.runId)
      drop.onclick = () => actions.discard(pending.runId)
    },
  }
}

export interface AnswerItem {
  readonly message: Message
  readonly facts: RunFacts | undefined
}

/** What the agent says: its parts as they come, how its background operations go, and how it ended. */
export function assistantMessage(): View<AnswerItem> {
  const body = element('div', 'parts')
  const operations = element('div', 'operations')
  const ending = element('p', 'ending')
  const node = element('article', 'message message-assistant')
  node.append(body, operations, ending)
  node.setAttribute('aria-label', 'Agent')
  node.dataset['testid'] = 'message-assistant'
  const parts = new KeyedList<PartItem>(body, keyOfPart, partView)
  const progress = new KeyedList(operations, (background) => background.id, progressView)
  return {
    node,
    update({ message, facts }) {
      const isOpen = message.status === 'open'
      node.dataset['status'] = message.status
      node.setAttribute('aria-busy', String(isOpen))
      const last = message.parts.length - 1
      parts.update(message.parts.map((part, index) => ({ part, isWriting: isOpen && index === last })))
      body.classList.toggle('waiting', isOpen && message.parts.length === 0)
      progress.update(facts?.background ?? [])
      setText(ending, facts?.ending?.text ?? ENDINGS[message.status])
      ending.hidden = ending.textContent === ''
    },
  }
}
