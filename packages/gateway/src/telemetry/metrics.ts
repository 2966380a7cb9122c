import type { ErrorCode, FinishReason, ResetCause } from '@turnpike/protocol'
import { Counter, Histogram, type Instrument, type Tally } from './instruments.ts'

const LAG_BOUNDS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384]
const SECONDS_BOUNDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

/** What is counted of all that is written to one wire. */
export interface WireMeter {
  /** Once a write, however many frames are in it. */
  readonly wrote: (frames: number, bytes: number) => void
  /** Frames that stand for several events, out of those written. */
  readonly merged: Tally
}

/**
 * What the parts of a gateway count while they work. No label holds anything that a client chose.
 *
 * Delivery is counted once a flush, never once an event.
 */
export class Metrics {
  readonly #frames = new Counter({
    name: 'turnpike_frames_written_total',
    help: 'Frames written: events, answers, resets and goodbyes.',
    labels: ['wire'],
  })
  readonly #bytes = new Counter({
    name: 'turnpike_bytes_written_total',
    help: 'Bytes of the frames written, with their framing.',
    labels: ['wire'],
  })
  readonly #merged = new Counter({
    name: 'turnpike_merged_frames_total',
    help: 'Frames written that stand for several events, since their reader was behind.',
    labels: ['wire'],
  })
  readonly #resumes = new Counter({
    name: 'turnpike_resumes_total',
    help: 'Readers that wanted to go on from a place: recovered, or reset and why.',
    labels: ['outcome', 'cause'],
  })
  readonly #runs = new Counter({
    name: 'turnpike_runs_total',
    help: 'Runs that have ended, by finish reason or error code.',
    labels: ['agent', 'end'],
  })
  readonly #checkpoints = new Counter({
    name: 'turnpike_checkpoints_failed_total',
    help: 'Writes of a run into the store that failed; they are tried again.',
    labels: [],
  })
  /** By how many events a reader is behind when it is told of news. */
  readonly readerLag = new Histogram({
    name: 'turnpike_reader_lag_events',
    help: 'Events that a live reader was behind, each time before it was written to.',
    bounds: LAG_BOUNDS,
  })
  /** Seconds from the append of an event to its write. */
  readonly delivery = new Histogram({
    name: 'turnpike_append_to_write_seconds',
    help: 'From the append of an event to its write, sampled: the first event of one flush in eight.',
    bounds: SECONDS_BOUNDS,
  })
  readonly checkpointsFailed = this.#checkpoints.of({})
  readonly #wires = new Map<string, WireMeter>()

  /** All there is to be read. */
  get instruments(): readonly Instrument[] {
    const counters = [this.#frames, this.#bytes, this.#merged, this.#resumes, this.#runs, this.#checkpoints]
    return [...counters, this.readerLag, this.delivery]
  }

  /** What counts for one wire; to be kept at hand. */
  wire(name: string): WireMeter {
    let meter = this.#wires.get(name)
    if (!meter) {
      const [frames, bytes] = [this.#frames.of({ wire: name }), this.#bytes.of({ wire: name })]
      const wrote: WireMeter['wrote'] = (frameCount, byteCount) => {
        frames.add(frameCount)
        bytes.add(byteCount)
      }
      meter = { wrote, merged: this.#merged.of({ wire: name }) }
      this.#wires.set(name, meter)
    }
    return meter
  }

  /** A reader that named its place could go on from there, or could not. */
  resumed(cause: ResetCause | undefined): void {
    this.#resumes.of({ outcome: cause === undefined ? 'recovered' : 'reset', cause: cause ?? '' }).add()
  }

  runEnded(agent: string, end: FinishReason | ErrorCode): void {
    this.#runs.of({ agent, end }).add()
  }
}
