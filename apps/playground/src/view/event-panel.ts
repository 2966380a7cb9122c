import { ORIGIN } from '@turnpike/protocol'
import type { Received, ThreadState } from '../thread-state.ts'
import { element, onPage, setText } from './element.ts'
import { KeyedList, type View } from './keyed-list.ts'

const WIDE = '(min-width: 1100px)'

/** What goes on underneath: counters, and the latest events as they came. */
export class EventPanel {
  readonly #panel = onPage('events', HTMLElement)
  readonly #toggle = onPage('toggle-events', HTMLButtonElement)
  readonly #received = onPage('received', HTMLElement)
  readonly #lastEventId = onPage('last-event-id', HTMLElement)
  readonly #replayed = onPage('replayed', HTMLElement)
  readonly #recent = new KeyedList<Received>(
    onPage('recent-events', HTMLElement),
    ({ key }) => key,
    receivedView,
  )

  constructor() {
    this.#show(matchMedia(WIDE).matches)
    this.#toggle.addEventListener('click', () => this.#show(this.#panel.hidden !== false))
    this.#panel.addEventListener('keydown', ({ key }) => {
      if (key !== 'Escape') return
      this.#show(false)
      this.#toggle.focus()
    })
  }

  update({ received, cursor, replayed, recent }: ThreadState): void {
    setText(this.#received, String(received))
    setText(this.#lastEventId, cursor === ORIGIN ? '–' : cursor)
    setText(this.#replayed, replayed === undefined ? '–' : String(replayed))
    this.#recent.update(recent)
  }

  #show(isShown: boolean): void {
    this.#panel.hidden = !isShown
    this.#toggle.setAttribute('aria-expanded', String(isShown))
  }
}

function receivedView(): View<Received> {
  const type = element('span', 'event-type')
  const seq = element('span', 'event-seq')
  const node = element('li', '', type, seq)
  return {
    node,
    update(event) {
      node.dataset['type'] = event.type
      setText(type, event.covers > 1 ? `${event.type} ×${event.covers}` : event.type)
      setText(seq, String(event.seq))
    },
  }
}
