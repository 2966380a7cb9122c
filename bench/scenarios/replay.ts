import { nextSeed } from '../load.ts'
import { END, type Order, clockMs } from '../order.ts'
import { Peer, type PeerName } from '../peer.ts'
import { Reader } from '../reader.ts'
import { type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'
import { assertSame, framesOf, hashOf } from '../transcript.ts'
import { replayInProcess } from './replay-in-process.ts'

const EVENTS = 10_000
const REPLAYS = 10
const PEERS: readonly PeerName[] = ['ws small', 'ws equal', 'turnpike']
const ORIGIN = '0000000000000-0000000000'

/** A reader that comes back and has missed ten thousand events of a run that still goes on. */
export const replay: Scenario = {
  name: 'replay',
  title: `replay of ${EVENTS} events; the bare server keeps a list of frames`,
  figures: {
    'turnpike: CPU': { unit: 'µs an event', atMost: 0.2 },
    'turnpike, in process: CPU': { unit: 'µs an event', atMost: 0.2 },
    'turnpike, in process, nobody reading: CPU': { unit: 'µs an event' },
    'turnpike: reconnect and replay': { unit: 'ms' },
    'ws small: CPU': { unit: 'µs an event' },
    'ws small: reconnect and replay': { unit: 'ms' },
    'ws equal: CPU': { unit: 'µs an event' },
    'ws equal: reconnect and replay': { unit: 'ms' },
  },
  round: roundOf,
}

async function roundOf(options: RoundOptions): Promise<Round> {
  const { warm, cold } = await replayInProcess(EVENTS)
  const round: Record<string, number> = {
    'turnpike, in process: CPU': warm,
    'turnpike, in process, nobody reading: CPU': cold,
  }
  for (const name of rotated(PEERS, options)) {
    await using peer = await Peer.start(name)
    using live = await Reader.openWebSocket(peer.port)
    const order: Order = { seed: nextSeed(), deltas: EVENTS, bytes: 24, burst: 8, hold: true }
    const ended = live.until(endOf(name))
    live.command('thread.send', { threadId: 'held', message: JSON.stringify(order) })
    await ended
    const [produced] = Object.values(await peer.digests())
    await reconnect(peer, { name, produced })
    const before = await peer.sample()
    let tookMs = 0
    for (let count = 0; count < REPLAYS; count++) tookMs += await reconnect(peer, { name, produced })
    const after = await peer.sample()
    round[`${name}: reconnect and replay`] = tookMs / REPLAYS
    round[`${name}: CPU`] = (after.cpuUs - before.cpuUs) / REPLAYS / EVENTS
  }
  return round
}

async function reconnect(
  peer: Peer,
  { name, produced }: { name: PeerName; produced: string | undefined },
): Promise<number> {
  const startedAt = clockMs()
  using reader = await Reader.openWebSocket(peer.port)
  const ended = reader.until(endOf(name))
  reader.command('thread.subscribe', { threadId: 'held', lastEventId: ORIGIN })
  const endedAt = await ended
  assertSame(hashOf(framesOf(reader).map(({ event }) => event)), produced)
  return endedAt - startedAt
}

function endOf(name: PeerName): string {
  return name === 'ws small' ? `${END}"}` : `${END}","channel":"answer"}`
}
