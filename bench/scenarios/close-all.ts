import { once } from 'node:events'
import { WebSocket } from 'ws'
import { Peer } from '../peer.ts'
import { Reader } from '../reader.ts'
import type { Round, Scenario } from '../scenario.ts'

const CONNECTIONS = 1_000

/** How long it takes until all connections of the connection manager are gone. */
export const closeAll: Scenario = {
  name: 'close-all',
  title: `closeAll of ${CONNECTIONS} connections of the connection manager`,
  figures: {
    'all answer': { unit: 'ms', atMost: 2_000 },
    'nobody answers': { unit: 'ms', atMost: 2_000 },
  },
  round: roundOf,
}

async function roundOf(): Promise<Round> {
  await using server = await Peer.start('manager')
  using stack = new DisposableStack()
  for (let n = 0; n < CONNECTIONS; n++) stack.defer(await answering(server.port))
  const all = await timeOf(server)
  // They read, and know nothing of closes.
  for (let n = 0; n < CONNECTIONS; n++) stack.use(await Reader.openWebSocket(server.port, '/ws'))
  return { 'all answer': all, 'nobody answers': await timeOf(server) }
}

async function answering(port: number): Promise<() => void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { perMessageDeflate: false })
  await once(socket, 'open')
  return () => socket.terminate()
}

async function timeOf({ port }: Peer): Promise<number> {
  return Number(await (await fetch(`http://127.0.0.1:${port}/`)).text())
}
