import type { Server } from 'node:http'
import { GatewayError } from '@turnpike/protocol'
import type { WebSocketConnectionManager } from '../../manager/connection-manager.ts'
import type { DrainOptions } from '../../manager/departure.ts'
import { upgradeRouter } from '../../transports/upgrade-router.ts'

const RETRY_MS = 1_000

/** How the connection managers of a server are. */
export interface SocketsHealth {
  readonly status: 'ok' | 'draining'
  readonly connections: {
    readonly total: number
    readonly maxConnections: number
    /** Connections by path, those of paths where there is nobody included. */
    readonly paths: Readonly<Record<string, number>>
  }
}

/** The connection managers of one server, as one. */
export class ManagedSockets {
  readonly #managers: readonly WebSocketConnectionManager[]
  readonly #servers = new Set<Server>()
  #isDraining = false

  constructor(managers: readonly WebSocketConnectionManager[]) {
    this.#managers = managers
  }

  /** @throws TypeError where two of them have a handler for the same path */
  attach(server: Server): void {
    this.#servers.add(server)
    for (const manager of this.#managers) manager.attach(server)
  }

  /** Lets nobody in any more; those who are there stay until {@link drain}. */
  refuse(): void {
    this.#isDraining = true
    const draining = (): never => {
      throw new GatewayError('draining', 'The server is shutting down.', { retryAfterMs: RETRY_MS })
    }
    for (const server of this.#servers) {
      const router = upgradeRouter(server)
      for (const path of this.#managers.flatMap((manager) => manager.getPaths()))
        router.replace(path, draining)
    }
  }

  async drain(options: DrainOptions): Promise<void> {
    await Promise.all(this.#managers.map((manager) => manager.drain(options)))
  }

  health(): SocketsHealth {
    const managers = this.#managers
    const paths = new Map<string, number>()
    for (const manager of managers) {
      for (const path of manager.getPaths()) {
        paths.set(path, (paths.get(path) ?? 0) + manager.getConnectionsByPath(path).length)
      }
    }
    return {
      status: this.#isDraining ? 'draining' : 'ok',
      connections: {
        total: sumOf(managers.map((manager) => manager.getConnectionCount())),
        maxConnections: sumOf(managers.map(({ maxConnections }) => maxConnections)),
        paths: Object.fromEntries(paths),
      },
    }
  }
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0)
}
