import { nextSeed } from '../load.ts'
import { type Order, clockMs } from '../order.ts'
import { Peer, type PeerName } from '../peer.ts'
import { FINISHED, Reader } from '../reader.ts'
import { type FigureSpec, type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'
import { assertSame, framesOf, hashOf } from '../transcript.ts'

const OBSERVERS = 1_000
const DELTAS = 300
const WARM_DELTAS = 100
const PEERS: readonly PeerName[] = ['ws small', 'ws equal', 'turnpike']

/** One run that a thousand clients watch: what a delivery costs. */
export function fanOut(burst: number, atMost: number): Scenario {
  const figures: Record<string, FigureSpec> = {
    'turnpike to ws small': { unit: 'ratio of CPU', atMost },
    'turnpike to ws equal': { unit: 'ratio of CPU' },
  }
  for (const peer of PEERS) {
    figures[`${peer}: CPU`] = { unit: 'µs a delivery' }
    figures[`${peer}: speed`] = { unit: '1,000 deliveries/s' }
  }
  return {
    name: `fan-out-${burst}`,
    title: `one run of ${DELTAS} deltas seen by ${OBSERVERS} clients, ${burst} a turn of the event loop`,
    figures,
    round: (options) => roundOf(burst, options),
  }
}

async function roundOf(burst: number, options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  for (const name of rotated(PEERS, options)) {
    await using peer = await Peer.start(name)
    using stack = new DisposableStack()
    const readers: Reader[] = []
    for (let observer = 0; observer < OBSERVERS; observer++) {
      readers.push(stack.use(await Reader.openWebSocket(peer.port)))
    }
    await followOneThread(readers, name)
    await peer.digests()
    await watch(peer, readers, { deltas: WARM_DELTAS, burst })
    await peer.profileTo(options.profile?.(name))
    const { cpuUs, wallMs } = await watch(peer, readers, { deltas: DELTAS, burst })
    round[`${name}: CPU`] = cpuUs / (DELTAS * OBSERVERS)
    round[`${name}: speed`] = (DELTAS * OBSERVERS) / wallMs
  }
  for (const reference of ['ws small', 'ws equal']) {
    round[`turnpike to ${reference}`] = (round['turnpike: CPU'] ?? NaN) / (round[`${reference}: CPU`] ?? NaN)
  }
  return round
}

/** The first client's message makes the thread; then the others follow it. */
async function followOneThread(readers: readonly Reader[], name: PeerName): Promise<void> {
  if (name !== 'turnpike') return
  const [first, ...others] = readers
  const ended = first?.until(FINISHED)
  first?.command('thread.send', { threadId: 'seen', message: orderOf({ deltas: 0, burst: 1 }) })
  await ended
  for (const reader of others) {
    const answered = reader.when('"ok":true')
    reader.command('thread.subscribe', { threadId: 'seen' })
    await answered
  }
}

async function watch(
  peer: Peer,
  readers: readonly Reader[],
  what: { deltas: number; burst: number },
): Promise<{ cpuUs: number; wallMs: number }> {
  for (const reader of readers) reader.clear()
  const message = orderOf(what)
  const before = await peer.sample()
  const startedAt = clockMs()
  const ends = readers.map((reader) => reader.until(FINISHED))
  readers[0]?.command('thread.send', { threadId: 'seen', message })
  const wallMs = Math.max(...(await Promise.all(ends))) - startedAt
  const after = await peer.sample()
  const [produced] = Object.values(await peer.digests())
  for (const reader of readers) assertSame(hashOf(framesOf(reader).map(({ event }) => event)), produced)
  return { cpuUs: after.cpuUs - before.cpuUs, wallMs }
}

function orderOf(what: { deltas: number; burst: number }): string {
  const order: Order = { ...what, seed: nextSeed(), bytes: 24, broadcast: true }
  return JSON.stringify(order)
}
