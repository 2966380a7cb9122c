import { defineAgent } from '@turnpike/agents'
import { createGatewayServer } from '@turnpike/gateway/server'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import type { Limits } from '@turnpike/protocol'
import type { Order } from '../order.ts'
import { produce } from './agent.ts'
import { serveControl } from './control.ts'
import { noStore } from './no-store.ts'

export interface TurnpikeOptions {
  /** Keeps nothing of runs. */
  readonly logAlone?: boolean
  /** A file for the store; else it is in memory. */
  readonly file?: string
  readonly limits?: Partial<Limits>
}

/** Turnpike as it is served; only the limits that keep one client from flooding it are out of the way. */
const OPEN = { framesPerSecond: 1e6, frameBurst: 1e6, subscriptions: 1e6 }
const agent = defineAgent({
  name: 'bench',
  run: ({ text }, { signal }) => produce(JSON.parse(text) as Order, signal),
})
const { file, limits, logAlone } = JSON.parse(process.argv[2] ?? '{}') as TurnpikeOptions
const server = createGatewayServer({
  agents: [agent],
  limits: { ...OPEN, ...limits },
  ...(file !== undefined && { store: sqliteStore({ file }) }),
  ...(logAlone && { store: noStore() }),
})
createThreadStream(server)
serveControl(Number(new URL(await server.listen(0)).port))
