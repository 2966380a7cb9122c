import { Lexer } from 'marked'

interface Block {
  readonly text: string
  readonly start: number
}

/** What is written next may still change the last block, and the one before: a list goes on after an empty line. */
const UNSETTLED = 2

/**
 * Splits a growing Markdown text into its blocks, so that only those that change have to be rendered again.
 *
 * What is settled is not read again: the cost of a further word does not grow with the text.
 */
export class BlockSplitter {
  #text = ''
  #blocks: readonly Block[] = []

  /** The blocks of a text; cheap where it only continues the one before. */
  split(source: string): readonly string[] {
    const text = source.replaceAll(/\r\n?/g, '\n')
    if (text !== this.#text) {
      const settled = this.#settledIn(text)
      const last = settled.at(-1)
      const from = last ? last.start + last.text.length : 0
      this.#blocks = [...settled, ...blocksOf(text, from)]
      this.#text = text
    }
    return this.#blocks.map((block) => block.text)
  }

  #settledIn(text: string): readonly Block[] {
    const settled = this.#blocks.slice(0, -UNSETTLED)
    const last = settled.at(-1)
    if (!last) return []
    const prefix = this.#text.slice(0, last.start + last.text.length)
    return text.startsWith(prefix) ? settled : []
  }
}

/** A block has the empty space behind it. */
function blocksOf(text: string, from: number): readonly Block[] {
  const tail = text.slice(from)
  const tokens = new Lexer({ gfm: true }).blockTokens(tail, [])
  const blocks: Block[] = []
  let start = from
  for (const { type, raw } of tokens) {
    const last = blocks.at(-1)
    if (type === 'space' && last) blocks[blocks.length - 1] = { ...last, text: last.text + raw }
    else blocks.push({ text: raw, start })
    start += raw.length
  }
  // Should the lexer leave something out, the text counts.
  return start === text.length ? blocks : [{ text: tail, start: from }]
}
