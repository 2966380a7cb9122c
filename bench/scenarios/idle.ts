import { Peer, type PeerName } from '../peer.ts'
import { Reader } from '../reader.ts'
import { type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'

const CONNECTIONS = 2_000
const WARM = 100
const PEERS: Readonly<Record<string, { peer: PeerName; open: (port: number) => Promise<Reader> }>> = {
  'ws small': { peer: 'ws small', open: (port) => Reader.openWebSocket(port) },
  turnpike: { peer: 'turnpike', open: (port) => Reader.openWebSocket(port) },
  'bare Socket.IO': { peer: 'bare Socket.IO', open: (port) => Reader.openSocketIo(port) },
  'turnpike over Socket.IO': { peer: 'turnpike', open: (port) => Reader.openSocketIo(port) },
}
/** Whom each of ours is compared with. */
const REFERENCES = {
  'turnpike to ws': ['turnpike', 'ws small'],
  'Socket.IO to Socket.IO': ['turnpike over Socket.IO', 'bare Socket.IO'],
} as const

/** Connections that say nothing: what one weighs. */
export const idle: Scenario = {
  name: 'idle',
  title: `${CONNECTIONS} connections on which nothing is said, after a garbage collection`,
  figures: {
    'turnpike to ws: RSS': { unit: 'ratio', atMost: 1.5 },
    'turnpike to ws: alive': { unit: 'ratio' },
    'Socket.IO to Socket.IO: RSS': { unit: 'ratio', atMost: 1.5 },
    'Socket.IO to Socket.IO: alive': { unit: 'ratio' },
    ...Object.fromEntries(
      Object.keys(PEERS).flatMap((peer) => [
        [`${peer}: RSS`, { unit: 'KiB a connection' }],
        [`${peer}: alive`, { unit: 'KiB a connection' }],
      ]),
    ),
  },
  round: roundOf,
}

async function roundOf(options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  for (const [name, { peer: peerName, open }] of rotated(Object.entries(PEERS), options)) {
    await using peer = await Peer.start(peerName)
    using stack = new DisposableStack()
    for (let count = 0; count < WARM; count++) stack.use(await open(peer.port))
    const before = await peer.sample('settled')
    for (let count = 0; count < CONNECTIONS; count++) stack.use(await open(peer.port))
    const after = await peer.sample('settled')
    round[`${name}: RSS`] = (after.rss - before.rss) / CONNECTIONS / 1_024
    round[`${name}: alive`] = (after.live - before.live) / CONNECTIONS / 1_024
  }
  for (const what of ['RSS', 'alive']) {
    for (const [label, [own, reference]] of Object.entries(REFERENCES)) {
      round[`${label}: ${what}`] = (round[`${own}: ${what}`] ?? NaN) / (round[`${reference}: ${what}`] ?? NaN)
    }
  }
  return round
}
