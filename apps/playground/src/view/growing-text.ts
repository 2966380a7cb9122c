import { element } from './element.ts'

/** A text that mostly grows at its end: what is there stays as it is, and so does what the user has selected of it. */
export class GrowingText {
  readonly node: HTMLElement
  readonly #text = document.createTextNode('')

  constructor(className: string) {
    this.node = element('div', className, this.#text)
  }

  update(text: string): void {
    const shown = this.#text.data
    if (text === shown) return
    if (text.startsWith(shown)) this.#text.appendData(text.slice(shown.length))
    else this.#text.data = text
  }
}
