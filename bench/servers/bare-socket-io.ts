import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Socket, Server } from 'socket.io'
import type { Order } from '../order.ts'
import { produce } from './agent.ts'
import { serveControl } from './control.ts'

/** The reference of Socket.IO: one `emit` a delta, with the least that a client can use. */
const server = createServer()
const io = new Server(server, { path: '/streaming', serveClient: false })

async function run(socket: Socket, order: Order): Promise<void> {
  const to = order.broadcast ? io : socket
  for await (const delta of produce(order, new AbortController().signal)) {
    to.emit('text-delta', { type: 'text-delta', delta })
  }
  to.emit('finish', { type: 'finish', usage: { inputTokens: 0, outputTokens: 0 } })
}

io.on('connection', (socket) => {
  socket.on('thread.send', ({ message }: { message: string }) => {
    void run(socket, JSON.parse(message) as Order)
  })
})
server.listen(0, '127.0.0.1', () => serveControl((server.address() as AddressInfo).port))
