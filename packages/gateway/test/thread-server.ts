import type { Runnable } from '@turnpike/agents'
import type { GatewayServer, GatewayServerOptions } from '@turnpike/gateway/server'
import {
  type ThreadStream,
  type ThreadStreamOptions,
  createThreadStream,
} from '@turnpike/gateway/thread-stream'
import { serve } from './server.ts'

/** A server with all wires of threads on a free port: native WebSocket, HTTP, and Socket.IO at `/streaming`. */
export async function serveThreads(
  agents: readonly Runnable[],
  options: GatewayServerOptions = {},
): Promise<GatewayServer & { baseUrl: string; port: number; stream: ThreadStream } & AsyncDisposable> {
  const server = await serve(agents, options)
  const given: ThreadStreamOptions = { server: server.server, gateway: server.gateway }
  const stream = createThreadStream(given)
  return {
    ...server,
    stream,
    async [Symbol.asyncDispose]() {
      await stream.close()
      await server.close(0)
    },
  }
}
