import { type Interface, clearScreenDown, createInterface, cursorTo, moveCursor } from 'node:readline'
import type { Piece } from './transcript.ts'

/** What comes from who sits at a terminal, or from a pipe. */
export interface TerminalListener {
  readonly onLine: (line: string) => void
  /** No more lines come. */
  readonly onEnd: () => void
  /** Ctrl-C. */
  readonly onInterrupt: () => void
  /** Nobody reads what is shown any more. */
  readonly onGone: () => void
}

/** Standard input and output. Answers go to the output, and all else to where errors go, so that a pipe gets the answers. */
export class Terminal implements Disposable {
  /** Somebody sits there, and may type at any time. */
  readonly isInteractive = Boolean(process.stdin.isTTY && process.stderr.isTTY)
  readonly #lines: Interface
  readonly #onInterrupt: () => void
  readonly #onError: (error: NodeJS.ErrnoException) => void
  #asked: string | undefined
  /** Rows that a long question, or a long answer to it, took above the last one when it was hidden. */
  #rows = 0

  constructor({ onLine, onEnd, onInterrupt, onGone }: TerminalListener) {
    this.#lines = createInterface({
      input: process.stdin,
      ...(this.isInteractive && { output: process.stderr }),
      terminal: this.isInteractive,
      crlfDelay: Infinity,
    })
    this.#lines.on('line', (line) => {
      // Who typed it has left the line of the question.
      this.#asked = undefined
      this.#rows = 0
      onLine(line)
    })
    this.#lines.on('close', onEnd)
    this.#onInterrupt = onInterrupt
    this.#onError = (error) => {
      if (error.code !== 'EPIPE') throw error
      onGone()
    }
    // In raw mode Ctrl-C is a key, else a signal.
    this.#lines.on('SIGINT', onInterrupt)
    process.on('SIGINT', onInterrupt)
    process.stdout.on('error', this.#onError)
    process.stderr.on('error', this.#onError)
  }

  show(pieces: readonly Piece[]): void {
    if (pieces.length === 0) return
    this.#hide()
    for (const { of, text } of pieces) (of === 'answer' ? process.stdout : process.stderr).write(text)
  }

  /** Asks for a line, or for nothing. What is asked already is not asked again. */
  ask(question: string | undefined): void {
    if (question === this.#asked) return
    this.#hide()
    this.#asked = question
    if (question === undefined || !this.isInteractive) return
    // The prompt is drawn so many rows higher up, as if it still stood there.
    process.stderr.write('\n'.repeat(this.#rows))
    this.#lines.setPrompt(question)
    this.#lines.prompt(true)
  }

  [Symbol.dispose](): void {
    this.#hide()
    process.off('SIGINT', this.#onInterrupt)
    this.#lines.removeAllListeners('close').close()
    // A pipe that nobody reads from may end the process.
    process.stdin.destroy()
  }

  #hide(): void {
    if (this.#asked !== undefined && this.isInteractive) {
      this.#rows = this.#lines.getCursorPos().rows
      moveCursor(process.stderr, 0, -this.#rows)
      cursorTo(process.stderr, 0)
      clearScreenDown(process.stderr)
    }
    this.#asked = undefined
  }
}
