import type { Limits } from '@turnpike/protocol'
import { TokenBucket } from './token-bucket.ts'

type PaceLimits = Pick<Limits, 'framesPerSecond' | 'frameBurst' | 'refusedFrames'>

/** How fast a client may send. */
export class FramePace {
  readonly frames: TokenBucket
  /** How much of going too fast is answered before the connection is closed. */
  readonly refusals: TokenBucket

  constructor({ framesPerSecond, frameBurst, refusedFrames }: PaceLimits) {
    this.frames = new TokenBucket(framesPerSecond, frameBurst)
    this.refusals = new TokenBucket(framesPerSecond, refusedFrames)
  }
}
