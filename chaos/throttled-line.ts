import { once } from 'node:events'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'

const TICK_MS = 100

/** A TCP relay that passes on so many bytes a second to each client. */
export interface ThrottledLine extends AsyncDisposable {
  readonly port: number
  /** From now on it passes on all there is. */
  release(): void
}

/** Starts a relay in front of a server of this machine. */
export async function startThrottledLine(port: number, bytesPerSecond: number): Promise<ThrottledLine> {
  const sockets = new Set<Socket>()
  const releases = new Set<() => void>()
  const server = createServer((client) => {
    const upstream = connect({ port, host: '127.0.0.1' })
    client.pipe(upstream)
    const stop = passOn(upstream, client, (bytesPerSecond * TICK_MS) / 1_000)
    releases.add(() => {
      stop()
      upstream.pipe(client)
    })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => {
        stop()
        for (const side of [client, upstream]) {
          sockets.delete(side)
          side.destroy()
        }
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    release: () => releases.forEach((release) => release()),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** Reads no more than it passes on, so that the sender feels it. */
function passOn(from: Socket, to: Socket, bytesPerTick: number): () => void {
  const timer = setInterval(() => {
    const chunk = from.read(Math.min(bytesPerTick, from.readableLength)) as Buffer | null
    if (chunk) to.write(chunk)
  }, TICK_MS)
  return () => clearInterval(timer)
}
