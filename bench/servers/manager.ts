import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocketConnection, WebSocketConnectionManager } from '@turnpike/gateway/manager'
import type { Order } from '../order.ts'
import { produce } from './agent.ts'
import { serveControl } from './control.ts'

export interface ManagerOptions {
  /** Asks everybody for a token, and takes any whose first word is an id. */
  readonly bearer?: boolean
}

const PREFIX = '{"type":"text-delta","delta":"'
const SUFFIX = '"}'
const FINISH = '{"type":"finish","usage":{"inputTokens":0,"outputTokens":0}}'

/** The connection manager, with a handler that does what the bare server does: one frame a delta. */
const { bearer } = JSON.parse(process.argv[2] ?? '{}') as ManagerOptions
const manager = new WebSocketConnectionManager({
  maxConnections: 20_000,
  // They are pinged as usual; but a reader of the bench answers nothing.
  pongTimeout: 3_600_000,
  ...(bearer && {
    auth: { strategy: 'bearer', validate: async (token) => ({ id: token.split('.')[0] ?? '' }) },
  }),
})

async function run(connection: WebSocketConnection, order: Order): Promise<void> {
  const send = (frame: string): unknown =>
    order.broadcast ? manager.broadcast(frame) : manager.send(connection.id, frame)
  for await (const delta of produce(order, new AbortController().signal)) send(PREFIX + delta + SUFFIX)
  send(FINISH)
}

manager.registerHandler('/ws', {
  onMessage: (connection, { data }) => {
    const { payload } = JSON.parse(data as string) as { payload: { message: string } }
    return run(connection, JSON.parse(payload.message) as Order)
  },
})
/** Whatever is asked for over HTTP: it closes all, and tells how long that took, in ms. */
const server = createServer((_request, response) => {
  const begun = performance.now()
  void manager.closeAll().then(() => response.end(String(performance.now() - begun)))
})
manager.attach(server)
server.listen(0, '127.0.0.1', () => serveControl((server.address() as AddressInfo).port))
