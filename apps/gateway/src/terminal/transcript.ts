import { type ConnectionState, type EventOf, type Message, type ThreadEvent, textOf } from '@turnpike/client'
import { type Note, eventNote, partNotes } from './event-note.ts'
import type { Paint } from './paint.ts'
import { plainLine, plainText } from './plain-text.ts'

/** Something to show: of the answer, which is what a pipe wants, or about it. */
export interface Piece {
  readonly of: 'answer' | 'note'
  readonly text: string
}

interface Told {
  /** Characters of the answer, as they came. */
  said: number
  isOver: boolean
}

const QUARTERS = 4

/**
 * Tells a thread as text, for a terminal: every event once, and after a reset only what is new.
 *
 * Answers and notes share a screen, and may go to different files. So a note that breaks into an answer brings its own
 * line break, and the answers by themselves are whole.
 */
export class Transcript {
  readonly #paint: Paint
  readonly #pieces: Piece[] = []
  readonly #runs = new Map<string, Told>()
  readonly #own = new Set<string>()
  readonly #quarters = new Map<string, string>()
  /** What the line is of that goes on. */
  #line: 'answer' | 'history' | 'reasoning' | 'connection' | undefined
  #isAnswerOpen = false
  #isCut = false

  constructor(paint: Paint) {
    this.#paint = paint
  }

  /** The message of this run was typed here: nobody has to be told. */
  expect(runId: string): void {
    this.#own.add(runId)
  }

  event(event: ThreadEvent): readonly Piece[] {
    switch (event.type) {
      case 'start':
        this.#told(event.runId)
        if (!this.#own.has(event.runId)) this.#note(eventNote(event))
        break
      case 'text-delta':
        if (event.channel === 'answer') this.#say(event.runId, event.delta)
        else this.#think(event.delta)
        break
      case 'tool-call-start':
        this.#endAnswer()
        break
      case 'tool-call-args':
        if (event.args !== undefined) this.#note(eventNote(event))
        break
      case 'run-update':
        if (this.#isNews(event)) this.#note(eventNote(event))
        break
      case 'finish':
        this.#endRun(event.runId)
        if (event.finishReason !== 'stop') this.#note(eventNote(event))
        break
      case 'error':
        this.#endRun(event.runId)
        this.#note(eventNote(event))
        break
      case 'tool-call-result':
      case 'tool-call-error':
      case 'artifact-created':
      case 'artifact-updated':
      case 'memory-write':
      case 'memory-recall-result':
      case 'approval-resolved':
        this.#note(eventNote(event))
        break
      case 'approval-pending':
      case 'step-start':
      case 'step-finish':
        // Steps are of no interest here, and who is to decide is asked.
        break
      default:
        event satisfies never
    }
    return this.#taken()
  }

  /** Messages of a thread, as far as they are not told yet. */
  history(messages: readonly Message[]): readonly Piece[] {
    for (const message of messages) {
      const runId = message.runId ?? message.id
      const told = this.#runs.get(runId)
      if (message.role === 'user') {
        if (!told && !this.#own.has(runId))
          this.#note({ style: 'bold', text: `› ${plainLine(textOf(message))}` })
      } else if (!told?.isOver) {
        if (told) this.#say(runId, textOf(message).slice(told.said))
        else this.#retell(message, runId)
        if (message.status === 'open') continue
        this.#endRun(runId)
        if (message.status !== 'done') this.#note({ style: 'dim', text: `(${message.status})` })
      }
    }
    return this.#taken()
  }

  /** Where the connection stands, as far as that is worth a word. */
  connection(state: ConnectionState): readonly Piece[] {
    if (state.status === 'reconnecting' && !this.#isCut) {
      this.#breakLine()
      this.#put('note', this.#paint('dim', 'Reconnecting …'))
      this.#line = 'connection'
      this.#isCut = true
    } else if (state.status === 'open' && this.#isCut) {
      if (this.#line !== 'connection') this.#breakLine()
      this.#put('note', `${this.#paint('dim', this.#line ? ' resumed.' : 'Resumed.')}\n`)
      this.#line = undefined
      this.#isCut = false
    }
    return this.#taken()
  }

  /** A line of our own. */
  note(note: Note): readonly Piece[] {
    this.#note(note)
    return this.#taken()
  }

  /** Begins a new line, if the last one goes on. */
  rest(): readonly Piece[] {
    this.#breakLine()
    return this.#taken()
  }

  #say(runId: string, delta: string): void {
    this.#told(runId).said += delta.length
    const text = plainText(delta)
    if (text === '') return
    if (this.#line !== 'answer' && this.#line !== 'history') this.#breakLine()
    this.#put('answer', text)
    this.#isAnswerOpen = !text.endsWith('\n')
    this.#line = this.#isAnswerOpen ? 'answer' : undefined
  }

  /** What was said before anybody listened here is no answer to a pipe. */
  #quote(runId: string, text: string): void {
    this.#told(runId).said += text.length
    this.#breakLine()
    this.#put('note', plainText(text))
    this.#line = text.endsWith('\n') ? undefined : 'history'
  }

  #think(delta: string): void {
    const text = plainText(delta)
    if (text === '') return
    if (this.#line !== 'reasoning') this.#breakLine()
    this.#put('note', this.#paint('dim', text))
    this.#line = text.endsWith('\n') ? undefined : 'reasoning'
  }

  #retell(message: Message, runId: string): void {
    this.#told(runId)
    for (const part of message.parts) {
      if (part.type === 'text' && this.#own.has(runId)) this.#say(runId, part.text)
      else if (part.type === 'text') this.#quote(runId, part.text)
      else if (part.type === 'reasoning') this.#think(part.text)
      else {
        this.#endAnswer()
        for (const note of partNotes(part)) this.#note(note)
      }
    }
  }

  #note({ style, text }: Note): void {
    this.#breakLine()
    this.#put('note', `${this.#paint(style, text)}\n`)
  }

  #breakLine(): void {
    if (this.#line !== undefined) this.#put('note', '\n')
    this.#line = undefined
  }

  /** The next words of the answer are another paragraph. */
  #endAnswer(): void {
    if (!this.#isAnswerOpen) return
    if (this.#line !== 'answer') this.#breakLine()
    this.#put('answer', '\n')
    this.#isAnswerOpen = false
    this.#line = undefined
  }

  #endRun(runId: string): void {
    this.#endAnswer()
    this.#breakLine()
    this.#told(runId).isOver = true
  }

  #told(runId: string): Told {
    const told = this.#runs.get(runId) ?? { said: 0, isOver: false }
    this.#runs.set(runId, told)
    return told
  }

  /** Progress is told at each quarter. */
  #isNews({ background: { id, status, progress } }: EventOf<'run-update'>): boolean {
    const stand = `${status} ${Math.floor(progress * QUARTERS)}`
    if (this.#quarters.get(id) === stand) return false
    this.#quarters.set(id, stand)
    return true
  }

  #put(of: Piece['of'], text: string): void {
    this.#pieces.push({ of, text })
  }

  #taken(): readonly Piece[] {
    return this.#pieces.splice(0)
  }
}
