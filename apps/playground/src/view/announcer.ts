import { textOf } from '@turnpike/protocol'
import type { Status } from '../connection.ts'
import type { ThreadState } from '../thread-state.ts'
import { onPage } from './element.ts'

/** Tells screen readers what matters, once: a complete answer, a lost or resumed connection. */
export class Announcer {
  readonly #region = onPage('announcer', HTMLElement)
  #status: Status['kind'] = 'connecting'
  #openAnswer: string | undefined
  #note = ''

  update(state: ThreadState, status: Status): void {
    const news: string[] = []
    const note = state.notes.at(-1)?.text ?? ''
    if (note !== this.#note && note) news.push(note)
    else if (status.kind !== this.#status && status.kind !== 'connecting')
      news.push(`Connection: ${status.kind}`)
    const answer = state.messages.find(({ id }) => id === this.#openAnswer)
    if (answer && answer.status !== 'open') news.push(textOf(answer) || `Answer ${answer.status}`)
    this.#note = note
    this.#status = status.kind
    this.#openAnswer = state.messages.findLast(({ status }) => status === 'open')?.id
    if (news.length > 0) this.#region.textContent = news.join('. ')
  }
}
