import { type Server, createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type HttpBindings, getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'

/** Time that answers in progress have when a server closes. */
const LINGER_MS = 1_000

/** What is connected to each server, upgraded or not. */
const connections = new WeakMap<Server, Set<Socket>>()

/** An HTTP server for an app; it does not listen yet. */
export function serverOf(app: Hono<{ Bindings: HttpBindings }>): Server {
  const answer = getRequestListener(app.fetch, { overrideGlobalObjects: false })
  const server = createServer(
    // Node gives a request far longer than an honest client needs.
    { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 2_000 },
    (request, response) => void answer(request, response),
  )
  const open = new Set<Socket>()
  connections.set(server, open)
  server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return server
}

/** Listens; port 0 takes a free one. Resolves with the address that clients use. */
export async function listenOn(server: Server, port: number, host = '127.0.0.1'): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { address, family, port: taken } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
}

/** Closes a server, and what lingers on it. One that does not listen is closed already. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const lingering = setTimeout(() => {
    server.closeAllConnections()
    // The server does not count those that were upgraded, but waits for them.
    for (const socket of connections.get(server) ?? []) socket.destroy()
  }, LINGER_MS)
  await closed
  clearTimeout(lingering)
}
