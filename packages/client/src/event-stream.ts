/** Reads `text/event-stream` in whatever pieces it comes: section 9.2.6 of the HTML standard. */
export class EventStreamReader {
  readonly #onBlock: (block: EventBlock) => void
  #rest = ''
  #skipLineFeed = false
  #data: string[] = []
  #id: string | undefined

  constructor(onBlock: (block: EventBlock) => void) {
    this.#onBlock = onBlock
  }

  /** What is incomplete at the end of a stream was never said. */
  push(text: string): void {
    if (text === '') return
    const fresh = this.#skipLineFeed && text.startsWith('\n') ? text.slice(1) : text
    this.#skipLineFeed = text.endsWith('\r')
    const lines = (this.#rest + fresh).split(/\r\n|\r|\n/)
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#take(line)
  }

  #take(line: string): void {
    if (line === '') return this.#dispatch()
    const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
    if (name === 'data') this.#data.push(value)
    else if (name === 'id') this.#id = value
  }

  #dispatch(): void {
    const block = { data: this.#data.join('\n'), id: this.#id }
    this.#data = []
    this.#id = undefined
    if (block.data !== '' || block.id !== undefined) this.#onBlock(block)
  }
}

/** What a blank line ends. One with an id alone names a place and tells nothing. */
export interface EventBlock {
  readonly data: string
  readonly id: string | undefined
}
