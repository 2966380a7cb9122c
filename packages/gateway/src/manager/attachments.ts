import type { Server } from 'node:http'
import { type UpgradeHandler, type UpgradeRouter, upgradeRouter } from '../transports/upgrade-router.ts'

/** What is served where nobody has registered a handler: whoever has one may have the path. */
const unclaimed = new WeakSet<UpgradeHandler>()

type ServedPaths = Map<string, { readonly upgrade: UpgradeHandler; readonly takeOff: () => void }>

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
      for (const path of paths) if (this.#isRegistered(path)) assertFree(path, router)
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
    for (const [router, served] of this.#served) assertFree(path, router, served)
  }

  /** Serves a path that has got a handler. */
  serve(path: string): void {
    for (const router of this.#served.keys()) this.#serve(router, path)
  }

  #serve(router: UpgradeRouter, path: string): void {
    const served = this.#served.get(router)
    const earlier = served?.get(path)?.upgrade
    if (earlier && !unclaimed.has(earlier)) return
    const upgrade = earlier ?? this.#upgradeAt(path)
    if (this.#isRegistered(path)) unclaimed.delete(upgrade)
    else if (router.get(path)) return
    else unclaimed.add(upgrade)
    served?.set(path, { upgrade, takeOff: router.add(path, upgrade) })
  }
}

function assertFree(path: string, router: UpgradeRouter, served?: ServedPaths): void {
  const earlier = served?.get(path)?.upgrade
  const other = router.get(path)
  if (!other || unclaimed.has(other) || (earlier && !unclaimed.has(earlier))) return
  throw new TypeError(
    `"${path}" is served by something else on this server. Give one of the two another path.`,
  )
}
