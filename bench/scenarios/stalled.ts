import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nextSeed } from '../load.ts'
import type { Order } from '../order.ts'
import { Peer, type PeerName } from '../peer.ts'
import { FINISHED, FINISHED_PACKET, Reader } from '../reader.ts'
import { type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'
import type { TurnpikeOptions } from '../servers/turnpike.ts'
import { type Heard, assertSame, framesOf, hashOf } from '../transcript.ts'
import { createHash } from 'node:crypto'

const BYTES = 1_024
/** An answer has at most a MiB, so it takes many runs. */
const DELTAS = 1_000
const RUNS = 195
const WARM_RUNS = 20
const KIB = 1_024
/** The log's cap and what is on its way to one reader. */
const CAP_KIB = 4_096 + 320
/** No pings: they end a peer that takes nothing. And histories of a turn, which is all that agents are handed here. */
const LIMITS = { pingIntervalMs: 0, historyMessages: 2 }
const THREAD = 'stalled'

type Wire = 'websocket' | 'socket.io'

const BARE = { websocket: 'ws small', 'socket.io': 'bare Socket.IO' } as const
const ENDS = { websocket: FINISHED, 'socket.io': FINISHED_PACKET }

/** One reader stops reading while another goes on: what the server keeps for it. */
export function stalled(wire: Wire): Scenario {
  return {
    name: wire === 'websocket' ? 'stalled' : 'stalled-socket-io',
    title: `a reader stops while ${((RUNS * DELTAS * BYTES) / 1e6).toFixed(0)} MB are produced, in ${RUNS} runs of one thread, over ${wire}`,
    figures: {
      'turnpike: alive for the stalled reader': { unit: 'KiB', atMost: CAP_KIB },
      'turnpike: RSS growth over that with no such reader': { unit: 'KiB', atMost: CAP_KIB },
      'turnpike: RSS growth, nobody stalled': { unit: 'KiB' },
      'turnpike: RSS growth, one stalled': { unit: 'KiB' },
      'turnpike: reset as lagged, and whole': { unit: '1 is yes' },
      [`${BARE[wire]}: RSS growth, one stalled`]: { unit: 'KiB' },
    },
    round: (options) => roundOf(wire, options),
  }
}

async function roundOf(wire: Wire, options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  const cases = rotated(['nobody', 'one', 'bare'] as const, options)
  const alive = { nobody: 0, one: 0, bare: 0 }
  for (const which of cases) {
    const name: PeerName = which === 'bare' ? BARE[wire] : 'turnpike'
    const folder = mkdtempSync(join(tmpdir(), 'turnpike-bench-'))
    try {
      // A store in a file: what the thread's messages weigh is not what a reader does.
      const options: TurnpikeOptions = { file: join(folder, 'store.db'), limits: LIMITS }
      const args = name === 'turnpike' ? [JSON.stringify(options)] : []
      await using peer = await Peer.start(name, { args })
      const { rss, live, resumed } = await produceBeside(peer, {
        wire,
        answers: name === 'turnpike',
        isStalled: which !== 'nobody',
      })
      alive[which] = live
      const label = `${name}: RSS growth, ${which === 'nobody' ? 'nobody' : 'one'} stalled`
      round[label] = rss
      if (which === 'one') round['turnpike: reset as lagged, and whole'] = Number(resumed)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  round['turnpike: alive for the stalled reader'] = alive.one - alive.nobody
  round['turnpike: RSS growth over that with no such reader'] =
    (round['turnpike: RSS growth, one stalled'] ?? NaN) -
    (round['turnpike: RSS growth, nobody stalled'] ?? NaN)
  return round
}

interface Production {
  readonly wire: Wire
  /** Whether the server answers commands. */
  readonly answers: boolean
  readonly isStalled: boolean
}

async function produceBeside(
  peer: Peer,
  { wire, answers, isStalled }: Production,
): Promise<{ rss: number; live: number; resumed: boolean }> {
  const open = (port: number): Promise<Reader> =>
    wire === 'websocket' ? Reader.openWebSocket(port) : Reader.openSocketIo(port)
  const end = ENDS[wire]
  using writer = await open(peer.port)
  for (let run = 0; run < WARM_RUNS; run++) await runOnce(peer, writer, end)
  using slow = await open(peer.port)
  const answered = answers && slow.when('"ok":true')
  slow.command('thread.subscribe', { threadId: THREAD })
  if (isStalled) slow.pause()
  const before = await peer.sample('settled')
  let peak = 0
  for (let run = 0; run < RUNS; run++) {
    await runOnce(peer, writer, end)
    if (!isStalled) slow.clear()
    peak = Math.max(peak, (await peer.sample()).rss)
  }
  const after = await peer.sample('settled')
  slow.resume()
  if (answered) await answered
  // What it missed is gone; the next run reaches it as any other reader.
  const ended = slow.until(end)
  const digest = await runOnce(peer, writer, end)
  await ended
  return {
    rss: (peak - before.rss) / KIB,
    live: (after.live - before.live) / KIB,
    resumed: isStalled && answers && isResumed(slow, digest),
  }
}

async function runOnce(peer: Peer, writer: Reader, end: string): Promise<string> {
  const order: Order = { seed: nextSeed(), deltas: DELTAS, bytes: BYTES, burst: 8, broadcast: true }
  writer.clear()
  const ended = writer.until(end)
  writer.command('thread.send', { threadId: THREAD, message: JSON.stringify(order) })
  await ended
  const digest = (await peer.digests())[order.seed]
  assertSame(hashOf(framesOf(writer).map(({ event }) => event)), digest)
  return digest ?? ''
}

/** Whether the reader was told that it lagged, and has the last answer: from the history, or the events behind it. */
function isResumed(reader: Reader, digest: string): boolean {
  const events = framesOf(reader).map(({ event }) => event)
  const reset = events.findLastIndex(({ type }) => type === 'thread.reset')
  if (reset < 0 || events[reset]?.cause !== 'lagged') return false
  const start = events.findLastIndex(({ type }) => type === 'start')
  if (start > reset) return hashOf(events.slice(start)) === digest
  return (
    createHash('sha256')
      .update(answerIn(events[reset]) + restOf(events.slice(reset)))
      .digest('hex') === digest
  )
}

function answerIn(reset: Heard | undefined): string {
  return (
    reset?.history
      ?.at(-1)
      ?.parts.map(({ text }) => text ?? '')
      .join('') ?? ''
  )
}

function restOf(events: readonly Heard[]): string {
  return events.map(({ delta }) => delta ?? '').join('')
}
