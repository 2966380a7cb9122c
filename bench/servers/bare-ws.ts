import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Order } from '../order.ts'
import { produce } from './agent.ts'
import { serveControl } from './control.ts'

/**
 * The reference: `ws` and nothing else, one send a delta. Its frames cost it next to nothing: text without anything
 * to escape, between two constants. `small` is the least that a client can use; `equal` is as long as an event of ours.
 */
const SMALL = ['{"type":"text-delta","delta":"', '"}'] as const
const EQUAL = [
  '{"id":"1761234567890-0000001234","seq":1234,"type":"text-delta","threadId":"bench-1234"' +
    ',"runId":"0d6a7b52-90c6-4f0f-8f5a-3b1f0d9c2a11","ts":1761234567890,"delta":"',
  '","channel":"answer"}',
] as const
const FINISH = '{"type":"finish","usage":{"inputTokens":0,"outputTokens":0}}'

const [prefix, suffix] = process.argv[2] === 'equal' ? EQUAL : SMALL
const server = createServer()
const sockets = new WebSocketServer({ server, perMessageDeflate: false })
/** The frames of the latest order, for who comes back: a log kept as a list. */
const list: string[] = []

async function run(socket: WebSocket, order: Order): Promise<void> {
  const abort = new AbortController()
  list.length = 0
  for await (const delta of produce(order, abort.signal)) {
    const frame = prefix + delta + suffix
    if (order.hold) list.push(frame)
    if (order.broadcast) for (const reader of sockets.clients) reader.send(frame)
    else socket.send(frame)
  }
  if (order.broadcast) for (const reader of sockets.clients) reader.send(FINISH)
  else socket.send(FINISH)
}

sockets.on('connection', (socket) => {
  socket.on('message', (data: Buffer) => {
    const { command, payload } = JSON.parse(data.toString()) as {
      command: string
      payload: { message: string }
    }
    if (command === 'thread.send') void run(socket, JSON.parse(payload.message) as Order)
    else for (const frame of list) socket.send(frame)
  })
})
server.listen(0, '127.0.0.1', () => serveControl((server.address() as AddressInfo).port))
