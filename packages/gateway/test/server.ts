import type { Runnable } from '@turnpike/agents'
import { type GatewayServer, type GatewayServerOptions, createGatewayServer } from '@turnpike/gateway/server'
import { recordingLogger } from './harness.ts'

/** A server on a free port that closes with its test. */
export async function serve(
  agents: readonly Runnable[],
  options: GatewayServerOptions = {},
): Promise<GatewayServer & { baseUrl: string; port: number } & AsyncDisposable> {
  const server = createGatewayServer({ agents, logger: recordingLogger(), ...options })
  const baseUrl = await server.listen(0)
  return {
    ...server,
    baseUrl,
    port: Number(new URL(baseUrl).port),
    [Symbol.asyncDispose]: () => server.close(0),
  }
}
