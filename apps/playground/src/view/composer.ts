import type { AgentInfo } from '../agents.ts'
import { element, onPage } from './element.ts'

export interface ComposerActions {
  readonly send: (text: string, agent: string | undefined) => void
  readonly stop: () => void
}

export interface ComposerState {
  readonly isRunning: boolean
  /** A stop has been asked for. */
  readonly isStopping: boolean
  readonly isLive: boolean
}

/** Where the user writes: Enter sends, Shift+Enter begins a new line. */
export class Composer {
  readonly #text = onPage('composer', HTMLTextAreaElement)
  readonly #send = onPage('send', HTMLButtonElement)
  readonly #stop = onPage('stop', HTMLButtonElement)
  readonly #agents = onPage('agent', HTMLSelectElement)
  readonly #actions: ComposerActions
  #isRunning = false

  constructor(actions: ComposerActions) {
    this.#actions = actions
    this.#text.addEventListener('input', () => this.#fit())
    this.#text.addEventListener('keydown', (event) => {
      // While an input method composes, Enter takes its suggestion.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
      event.preventDefault()
      this.#submit()
    })
    this.#send.addEventListener('click', () => this.#submit())
    this.#stop.addEventListener('click', () => actions.stop())
    this.#fit()
  }

  focus(): void {
    this.#text.focus()
  }

  /** Says something in the user's place. */
  say(text: string): void {
    this.#actions.send(text, this.#agents.value || undefined)
    this.focus()
  }

  /** Offers a choice of agents, where there is one. */
  offer(agents: readonly AgentInfo[]): void {
    const chosen = this.#agents.value
    this.#agents.replaceChildren(...agents.map(optionFor))
    if (agents.some(({ name }) => name === chosen)) this.#agents.value = chosen
    this.#agents.hidden = agents.length < 2
  }

  update({ isRunning, isStopping, isLive }: ComposerState): void {
    this.#isRunning = isRunning
    const leaving = !isRunning && document.activeElement === this.#stop
    this.#stop.hidden = !isRunning
    this.#stop.disabled = isStopping || !isLive
    this.#stop.title = isLive ? 'Stop this answer' : 'Cannot stop while the connection is gone'
    this.#showSend()
    if (leaving) this.focus()
  }

  #submit(): void {
    const text = this.#text.value.trim()
    if (text === '') return
    this.#text.value = ''
    this.#fit()
    this.say(text)
  }

  #fit(): void {
    this.#text.style.height = 'auto'
    this.#text.style.height = `${this.#text.scrollHeight}px`
    this.#showSend()
  }

  /** The stop button takes the place of a send button that has nothing to send. */
  #showSend(): void {
    const isEmpty = this.#text.value.trim() === ''
    this.#send.disabled = isEmpty
    this.#send.hidden = isEmpty && this.#isRunning
  }
}

function optionFor({ name, description }: AgentInfo): HTMLOptionElement {
  const option = element('option', '', name)
  option.value = name
  if (description) option.title = description
  return option
}
