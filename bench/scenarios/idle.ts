import { Peer, type PeerName } from '../peer.ts'
import { Reader } from '../reader.ts'
import { type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'

const CONNECTIONS = 2_000
const WARM = 100
const PEERS: readonly PeerName[] = ['ws small', 'turnpike']

/** Connections that say nothing: what one weighs. */
export const idle: Scenario = {
  name: 'idle',
  title: `${CONNECTIONS} connections on which nothing is said, after a garbage collection`,
  figures: {
    'turnpike to ws: RSS': { unit: 'ratio', atMost: 1.5 },
    'turnpike to ws: alive': { unit: 'ratio' },
    ...Object.fromEntries(
      PEERS.flatMap((peer) => [
        [`${peer}: RSS`, { unit: 'KiB a connection' }],
        [`${peer}: alive`, { unit: 'KiB a connection' }],
      ]),
    ),
  },
  round: roundOf,
}

async function roundOf(options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  for (const name of rotated(PEERS, options)) {
    await using peer = await Peer.start(name)
    using stack = new DisposableStack()
    for (let count = 0; count < WARM; count++) stack.use(await Reader.openWebSocket(peer.port))
    const before = await peer.sample('settled')
    for (let count = 0; count < CONNECTIONS; count++) stack.use(await Reader.openWebSocket(peer.port))
    const after = await peer.sample('settled')
    round[`${name}: RSS`] = (after.rss - before.rss) / CONNECTIONS / 1_024
    round[`${name}: alive`] = (after.live - before.live) / CONNECTIONS / 1_024
  }
  for (const what of ['RSS', 'alive']) {
    round[`turnpike to ws: ${what}`] =
      (round[`turnpike: ${what}`] ?? NaN) / (round[`ws small: ${what}`] ?? NaN)
  }
  return round
}
