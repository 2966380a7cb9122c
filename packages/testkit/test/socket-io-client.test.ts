import { type Server as HttpServer, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from 'socket.io'
import { expect, test } from 'vitest'
import { connectSocketIo, openSocketIo } from '../src/socket-io-client.ts'

/** A server of Socket.IO that does what the test says. */
async function serve(setUp: (io: Server) => void): Promise<{ url: string } & AsyncDisposable> {
  const server: HttpServer = createServer()
  const io = new Server(server, { path: '/streaming' })
  setUp(io)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, [Symbol.asyncDispose]: () => io.close() }
}

test('a refused connect rejects with what the server said', async () => {
  const data = { code: 'unauthorized', message: 'No.' }
  await using server = await serve((io) =>
    io.use((_socket, next) => next(Object.assign(new Error('No.'), { data }))),
  )
  await expect(connectSocketIo({ url: server.url })).rejects.toMatchObject({ name: 'ConnectRefusal', data })
})

test('a connect that is never answered rejects past the deadline', async () => {
  await using server = await serve((io) => io.use(() => {}))
  await expect(connectSocketIo({ url: server.url, deadlineMs: 200 })).rejects.toThrow(
    'No answer within 200 ms',
  )
})

test('a server that is not there refuses', async () => {
  await expect(connectSocketIo({ url: 'http://127.0.0.1:1' })).rejects.toMatchObject({ data: undefined })
})

test('an event whose type is not its name ends the inbox', async () => {
  await using server = await serve((io) =>
    io.on('connection', (socket) => {
      socket.emit('finish', { type: 'finish', seq: 1 })
      socket.emit('finish', { type: 'error', seq: 2 })
    }),
  )
  await using client = await connectSocketIo({ url: server.url })
  expect(await client.inbox.next()).toMatchObject({ seq: 1 })
  await expect(client.inbox.next()).rejects.toThrow('under the name finish')
})

test.each([[['websocket']], [['polling']]] as const)(
  'one that is let go of over %s is closed at once',
  async (transports) => {
    await using server = await serve(() => {})
    const client = await connectSocketIo({ url: server.url, transports })
    client.terminate()
    await client.closed
    await expect(client.inbox.next()).rejects.toThrow('ended')
    const unconnected = openSocketIo({ url: server.url, transports })
    unconnected.terminate()
    await unconnected.closed
  },
)
