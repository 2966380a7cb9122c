import type { ThreadReset } from '@turnpike/protocol'

/**
 * A stream of events cannot be continued without a gap: some of them are no longer to be had.
 *
 * Thrown by the iterator of `threads.stream` where no `onReset` was given. `stream.message` is whole nevertheless, and
 * so is what `stream.finished` resolves with.
 */
export class StreamReset extends Error {
  override readonly name = 'StreamReset'
  /** Why, and the history to go on from. */
  readonly reset: ThreadReset

  constructor(reset: ThreadReset) {
    super(`Some events are no longer to be had (${reset.cause}). Go on from the history.`)
    this.reset = reset
  }
}
