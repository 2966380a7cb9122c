import type { Server } from 'node:http'
import { GatewayError } from '@turnpike/protocol'
import type { WebSocketConnectionManager } from '../manager/connection-manager.ts'
import type { DrainOptions } from '../manager/departure.ts'
import { upgradeRouter } from '../transports/upgrade-router.ts'

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

  /** @throws TypeError where two of them serve the same path */
  constructor(managers: readonly WebSocketConnectionManager[]) {
    const paths = managers.flatMap((manager) => manager.getPaths())
    const twice = paths.find((path, index) => paths.indexOf(path) < index)
    if (twice !== undefined) {
      throw new TypeError(`Two connection managers serve "${twice}". Give one of them another "path".`)
    }
    this.#managers = managers
  }

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
      for (const path of this.#managers.flatMap((manager) => manager.getPaths())) router.add(path, draining)
    }
  }

  async drain(options: DrainOptions): Promise<void> {
    await Promise.all(this.#managers.map((manager) => manager.drain(options)))
  }

  health(): SocketsHealth {
    const managers = this.#managers
    const paths = managers.flatMap((manager) =>
      manager.getPaths().map((path) => [path, manager.getConnectionsByPath(path).length] as const),
    )
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
