import { join } from 'node:path'
import { Reader } from '../reader.ts'
import { type FigureSpec, type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'
import { type ServerCommand, StartedServer } from '../servers/started-server.ts'

/** What is compiled, and made once, is made for these. */
const WARM = 1_000
/** So long is a JWT. */
const TOKEN_CHARS = 300
const THOROUGH = ['--import', join(import.meta.dirname, '../servers/thorough-gc.ts')]

type Name = 'ws' | 'manager' | 'manager, bearer'

/** What stays: the same modules are loaded in all three, and what was thrown away is given back. */
const STAYS: Readonly<Record<Name, ServerCommand>> = {
  ws: { file: 'bare-ws-loaded.ts', args: ['small'], flags: THOROUGH },
  manager: { file: 'manager.ts', flags: THOROUGH },
  'manager, bearer': { file: 'manager.ts', args: ['{"bearer":true}'], flags: THOROUGH },
}
const AS_SERVED: Readonly<Record<Name, ServerCommand>> = {
  ws: { file: 'bare-ws.ts', args: ['small'] },
  manager: { file: 'manager.ts' },
  'manager, bearer': { file: 'manager.ts', args: ['{"bearer":true}'] },
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
  for (const [setting, commands] of Object.entries(SETTINGS)) {
    for (const [name, command] of rotated(Object.entries(commands), options)) {
      const { rss, alive } = await weightOf(command, count)
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
async function weightOf(command: ServerCommand, count: number): Promise<{ rss: number; alive: number }> {
  await using server = await StartedServer.start(command)
  using stack = new DisposableStack()
  for (let n = 0; n < WARM; n++) stack.use(await openAs(server, n))
  const before = await server.settled()
  for (let n = WARM; n < WARM + count; n++) stack.use(await openAs(server, n))
  const after = await server.settled()
  return {
    rss: (after.rss - before.rss) / count / 1_024,
    alive: (after.live - before.live) / count / 1_024,
  }
}

/** Each is somebody else. To the servers that ask nobody, it is a query like any other. */
function openAs({ port }: StartedServer, n: number): Promise<Reader> {
  return Reader.openWebSocket(port, `/ws?token=${`user-${n}`.padEnd(TOKEN_CHARS, '.')}`)
}
