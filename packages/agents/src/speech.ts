import { type AgentEvent, LIMITS } from '@turnpike/protocol'
import * as z from 'zod/mini'

/** Text that somebody says, of an answer or of reasoning. */
export type TextDelta = Extract<AgentEvent, { type: 'text-delta' }>

/** Held text is kept in pieces of about this size: each is told as one delta. */
const PIECE_CHARS = 4_096
const SEPARATOR = '\n\n'

/** Whose turn spoke last in each channel; JSON, for runs that are parked. */
export const LastWords = z.object({ answer: z.optional(z.int()), reasoning: z.optional(z.int()) })
type LastWords = z.infer<typeof LastWords>

/**
 * Puts what several say at once into one text that can be read: one speaks at a time.
 *
 * Who speaks first has the floor until the turn ends. What others say meanwhile is held back, and told when the floor is
 * theirs: in the order in which they first had something to say. Where the speaker changes, an empty line parts them.
 */
export class Speech {
  #last: LastWords
  #holder: number | undefined
  /** What is held back, by turn, who waits longest first. */
  readonly #held = new Map<number, TextDelta[]>()
  /** They never have the floor again: nobody would take it from them. */
  readonly #ended = new Set<number>()
  #heldChars = 0

  constructor(last: LastWords = {}) {
    this.#last = last
  }

  get last(): LastWords {
    return { ...this.#last }
  }

  /** What may be told of it now: all or nothing. Where more is held back than a run may say, that is for it to find. */
  say(turn: number, delta: TextDelta): TextDelta | undefined {
    if (!this.#ended.has(turn)) this.#holder ??= turn
    const isFree = this.#holder === undefined || this.#holder === turn
    if (isFree || this.#heldChars > LIMITS.outputChars) return this.tell(turn, delta)
    this.#hold(turn, delta)
    return undefined
  }

  /** For who needs no floor, since nobody else speaks at the same time. */
  tell(turn: number, delta: TextDelta): TextDelta {
    const { channel } = delta
    const before = this.#last[channel]
    if (before === turn) return delta
    this.#last = { ...this.#last, [channel]: turn }
    return before === undefined ? delta : { ...delta, delta: SEPARATOR + delta.delta }
  }

  /** A turn is over; what others may be told of now, which they have said before. */
  end(turn: number): TextDelta[] {
    this.#ended.add(turn)
    if (this.#holder !== turn) return []
    this.#holder = undefined
    const told: TextDelta[] = []
    for (const next of this.#held.keys()) {
      told.push(...this.#release(next))
      if (this.#ended.has(next)) continue
      this.#holder = next
      break
    }
    return told
  }

  /** The run is over: all that is still held back. */
  flush(): TextDelta[] {
    this.#holder = undefined
    return [...this.#held.keys()].flatMap((turn) => this.#release(turn))
  }

  #release(turn: number): TextDelta[] {
    const deltas = this.#held.get(turn) ?? []
    this.#held.delete(turn)
    return deltas.map((delta) => {
      this.#heldChars -= delta.delta.length
      return this.tell(turn, delta)
    })
  }

  #hold(turn: number, delta: TextDelta): void {
    this.#heldChars += delta.delta.length
    const deltas = this.#held.get(turn) ?? []
    this.#held.set(turn, deltas)
    const last = deltas.at(-1)
    const continues = last && last.channel === delta.channel && last.agent === delta.agent
    if (continues && last.delta.length < PIECE_CHARS) {
      deltas[deltas.length - 1] = { ...last, delta: last.delta + delta.delta }
    } else deltas.push(delta)
  }
}
