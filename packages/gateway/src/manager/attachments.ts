import type { Server } from 'node:http'
import { type UpgradeHandler, type UpgradeRouter, upgradeRouter } from '../transports/upgrade-router.ts'

interface ServedPath {
  readonly upgrade: UpgradeHandler
  /** Whether there was a handler for it by then. */
  readonly isRegistered: boolean
  readonly takeOff: () => void
}

type ServedPaths = Map<string, ServedPath>

/** At which servers the paths of a manager are served. Others may serve theirs there, too. */
export class Attachments {
  readonly #upgradeAt: (path: string) => UpgradeHandler
  readonly #isRegistered: (path: string) => boolean
  readonly #served = new Map<UpgradeRouter, ServedPaths>()

  constructor(options: {
    readonly upgradeAt: (path: string) => UpgradeHandler
    /** Whether there is a handler for it. */
    readonly isRegistered: (path: string) => boolean
  }) {
    this.#upgradeAt = options.upgradeAt
    this.#isRegistered = options.isRegistered
  }

  /**
   * Serves these paths on a server; one without a handler where nobody else does. Returns what takes them off again.
   *
   * @throws TypeError where somebody else serves a path that has a handler here
   */
  add(server: Server, paths: readonly string[]): () => void {
    const router = upgradeRouter(server)
    const before = this.#served.get(router)
    const served: ServedPaths = before ?? new Map()
    if (!before) {
      router.assertFree(paths.filter(this.#isRegistered))
      this.#served.set(router, served)
      for (const path of paths) this.#serve(router, path)
    }
    return () => {
      if (this.#served.get(router) !== served) return
      this.#served.delete(router)
      for (const { takeOff } of served.values()) takeOff()
    }
  }

  /**
   * Whether a handler for a path may come now.
   *
   * @throws TypeError where somebody else serves it at one of the servers
   */
  assertFree(path: string): void {
    for (const [router, served] of this.#served) {
      if (!served.get(path)?.isRegistered) router.assertFree([path])
    }
  }

  /** Serves a path that has got a handler. */
  serve(path: string): void {
    for (const router of this.#served.keys()) this.#serve(router, path)
  }

  #serve(router: UpgradeRouter, path: string): void {
    const served = this.#served.get(router)
    const earlier = served?.get(path)
    if (earlier?.isRegistered) return
    const upgrade = earlier?.upgrade ?? this.#upgradeAt(path)
    const isRegistered = this.#isRegistered(path)
    const takeOff = isRegistered ? router.add(path, upgrade) : router.offer(path, upgrade)
    served?.set(path, { upgrade, isRegistered, takeOff })
  }
}
