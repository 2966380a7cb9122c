import type { Status } from '../connection.ts'
import { element, onPage, setText } from './element.ts'

const TICK_MS = 250

/** The pill that says how things stand with the server, and the switch that cuts the connection. */
export class StatusBar {
  readonly #pill = onPage('status', HTMLElement)
  readonly #cut = onPage('cut', HTMLButtonElement)
  readonly #text = element('span')
  #status: Status = { kind: 'connecting' }
  #ticking: number | undefined

  constructor(onToggle: () => void) {
    this.#pill.replaceChildren(element('span', 'dot'), this.#text)
    this.#cut.addEventListener('click', onToggle)
  }

  update(status: Status): void {
    if (status === this.#status && this.#text.textContent) return
    this.#status = status
    this.#pill.dataset['state'] = document.body.dataset['connection'] = status.kind
    this.#cut.setAttribute('aria-checked', String(status.kind === 'cut'))
    clearInterval(this.#ticking)
    if (status.kind === 'reconnecting') this.#ticking = window.setInterval(() => this.#say(), TICK_MS)
    this.#say()
  }

  #say(): void {
    setText(this.#text, describe(this.#status))
  }
}

function describe(status: Status): string {
  switch (status.kind) {
    case 'connecting':
      return 'Connecting'
    case 'live':
      return 'Live'
    case 'cut':
      return 'Cut'
    case 'reconnecting':
      return `Reconnecting in ${Math.max(1, Math.ceil((status.until - Date.now()) / 1000))} s`
    case 'refused':
      return `Refused: ${status.reason}`
    default:
      return status satisfies never
  }
}
