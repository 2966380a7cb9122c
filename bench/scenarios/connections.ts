import { join } from 'node:path'
import { type PeerName, Peer } from '../peer.ts'
import { Reader } from '../reader.ts'
import { type FigureSpec, type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'
import type { Sample } from '../servers/control.ts'

/** What is compiled, and made once, is made for these. */
const WARM = 1_000
/** So long is a JWT. */
const TOKEN_CHARS = 300
const SETTLES = 3
const THOROUGH = ['--import', join(import.meta.dirname, '../servers/thorough-gc.ts')]

type Name = 'ws' | 'manager' | 'manager, bearer'

interface Measured {
  readonly peer: PeerName
  /** Of Node. */
  readonly flags: readonly string[]
}

/** What stays: the same modules are loaded in all three, and what was thrown away is given back. */
const STAYS: Readonly<Record<Name, Measured>> = {
  ws: { peer: 'ws loaded', flags: THOROUGH },
  manager: { peer: 'manager', flags: THOROUGH },
  'manager, bearer': { peer: 'manager, bearer', flags: THOROUGH },
}
const AS_SERVED: Readonly<Record<Name, Measured>> = {
  ws: { peer: 'ws small', flags: [] },
  manager: { peer: 'manager', flags: [] },
  'manager, bearer': { peer: 'manager, bearer', flags: [] },
}
const SETTINGS = { '': STAYS, ', as served': AS_SERVED } as const

/** Connections of the connection manager that say nothing: what one weighs beside one of a bare server. */
export function connections(count: number): Scenario {
  const figures: Record<string, FigureSpec> = {}
  for (const setting of Object.keys(SETTINGS)) {
    for (const own of ['manager', 'manager, bearer']) {
      figures[`${own} to ws: RSS${setting}`] = { unit: 'ratio', atMost: 1.5 }
      figures[`${own} to ws: alive${setting}`] = { unit: 'ratio' }
    }
    for (const name of Object.keys(STAYS)) {
      for (const what of ['RSS', 'alive'])
        figures[`${name}: ${what}${setting}`] = { unit: 'KiB a connection' }
    }
  }
  return {
    name: `connections-${count}`,
    title: `${count} connections of the connection manager on which nothing is said, after garbage collections`,
    figures,
    round: (options) => roundOf(count, options),
  }
}

async function roundOf(count: number, options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  for (const [setting, measured] of Object.entries(SETTINGS)) {
    for (const [name, each] of rotated(Object.entries(measured), options)) {
      const { rss, alive } = await weightOf(each, count)
      round[`${name}: RSS${setting}`] = rss
      round[`${name}: alive${setting}`] = alive
    }
    for (const own of ['manager', 'manager, bearer']) {
      for (const what of ['RSS', 'alive']) {
        const reference = round[`ws: ${what}${setting}`] ?? NaN
        round[`${own} to ws: ${what}${setting}`] = (round[`${own}: ${what}${setting}`] ?? NaN) / reference
      }
    }
  }
  return round
}

/** In KiB a connection. */
async function weightOf({ peer, flags }: Measured, count: number): Promise<{ rss: number; alive: number }> {
  await using server = await Peer.start(peer, { flags })
  using stack = new DisposableStack()
  for (let n = 0; n < WARM; n++) stack.use(await openAs(server, n))
  const before = await settled(server)
  for (let n = WARM; n < WARM + count; n++) stack.use(await openAs(server, n))
  const after = await settled(server)
  return {
    rss: (after.rss - before.rss) / count / 1_024,
    alive: (after.live - before.live) / count / 1_024,
  }
}

/** After garbage collections: what one frees is sometimes let go of by the next. */
async function settled(server: Peer): Promise<Sample> {
  for (let count = 1; count < SETTLES; count++) await server.sample('settled')
  return server.sample('settled')
}

/** Each is somebody else. To the servers that ask nobody, it is a query like any other. */
function openAs({ port }: Peer, n: number): Promise<Reader> {
  return Reader.openWebSocket(port, `/ws?token=${`user-${n}`.padEnd(TOKEN_CHARS, '.')}`)
}
