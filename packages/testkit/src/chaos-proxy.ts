import { once } from 'node:events'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Random, createRandom } from './random.ts'

/** How a connection is cut: both sides get an RST, or both sides hear nothing more and nobody tells them. */
export type CutKind = 'reset' | 'half-open'

type Range = readonly [min: number, max: number]

/** What goes wrong; nothing by default. Times and sizes are drawn from their range, both bounds included. */
export interface Faults {
  /** Time a connection lives before it is cut. */
  readonly cutEveryMs?: Range
  /** What a cut may be. @default both */
  readonly kinds?: readonly CutKind[]
  /** Forwards in pieces of so many bytes, each written in a turn of its own. */
  readonly sliceBytes?: Range
  /** Stops forwarding for so long, then goes on. */
  readonly stallMs?: Range
  /** Time between two stalls, where there is `stallMs`. @default [20, 200] */
  readonly stallEveryMs?: Range
}

export interface ChaosProxyOptions {
  readonly target: { readonly port: number; readonly host?: string }
  /** Each connection has a schedule of its own, made of this and of how many came before it. */
  readonly seed: number
  readonly faults?: Faults
}

export interface ChaosStats {
  connections: number
  /** Connections with a side that is still open, the half-open ones included. */
  active: number
  resets: number
  halfOpens: number
  stalls: number
  bytesUp: number
  bytesDown: number
}

/** A TCP proxy on 127.0.0.1 that breaks what goes through it. */
export interface ChaosProxy extends AsyncDisposable {
  readonly port: number
  readonly stats: Readonly<ChaosStats>
  /** Cuts every connection now. @default 'reset' */
  cutAll(kind?: CutKind): void
  /** Stops forwarding on every connection there is; the returned function goes on. */
  stallAll(): () => void
  /** Ends the schedules and every connection, the half-open ones too. */
  close(): Promise<void>
}

/** Starts a proxy in front of `target`, on a free port. */
export async function startChaosProxy({ target, seed, faults = {} }: ChaosProxyOptions): Promise<ChaosProxy> {
  const random = createRandom(seed)
  const open = new Set<ChaosConnection>()
  const stats = { connections: 0, active: 0, resets: 0, halfOpens: 0, stalls: 0, bytesUp: 0, bytesDown: 0 }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = connect({ host: '127.0.0.1', ...target, allowHalfOpen: true, noDelay: true })
    stats.connections++
    stats.active++
    const connection = new ChaosConnection([client, upstream], { random: random.fork(), faults, stats })
    open.add(connection)
    void connection.closed.then(() => {
      open.delete(connection)
      stats.active--
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= closeAll())
  const closeAll = async (): Promise<void> => {
    const closed = once(server, 'close')
    server.close()
    const connections = [...open]
    for (const connection of connections) connection.destroy()
    await Promise.all([closed, ...connections.map((connection) => connection.closed)])
  }
  return {
    port: (server.address() as AddressInfo).port,
    stats,
    cutAll(kind = 'reset') {
      for (const connection of open) connection.cut(kind)
    },
    stallAll() {
      const releases = [...open].map((connection) => connection.stall())
      return () => releases.forEach((release) => release())
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface ConnectionOptions {
  readonly random: Random
  readonly faults: Faults
  readonly stats: ChaosStats
}

/** Both sides of one connection, and its schedule. */
class ChaosConnection {
  /** Resolves once both sockets are closed. */
  readonly closed: Promise<void>
  readonly #sides: readonly [client: Socket, upstream: Socket]
  readonly #stats: ChaosStats
  readonly #faults: Faults
  readonly #end = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  /** What forwarding waits for while it is stalled, and how many stalls there are. */
  #gate: PromiseWithResolvers<void> | undefined
  #stalls = 0
  #halfOpen = false

  constructor(sides: readonly [client: Socket, upstream: Socket], options: ConnectionOptions) {
    const { random, faults, stats } = options
    this.#sides = sides
    this.#faults = faults
    this.#stats = stats
    const [client, upstream] = sides
    this.closed = Promise.all([this.#watch(client, upstream), this.#watch(upstream, client)]).then(() =>
      this.#stop(),
    )
    // A source of its own for each use, so that what the network does cannot move a schedule.
    const [cuts, stalls, up, down] = [random.fork(), random.fork(), random.fork(), random.fork()]
    if (faults.cutEveryMs) {
      this.#after(cuts.int(...faults.cutEveryMs), () =>
        this.cut(cuts.pick(faults.kinds ?? ['reset', 'half-open'])),
      )
    }
    this.#scheduleStall(stalls)
    void this.#forward([client, upstream], { random: up, count: 'bytesUp' })
    void this.#forward([upstream, client], { random: down, count: 'bytesDown' })
  }

  cut(kind: CutKind): void {
    if (this.#halfOpen || this.#end.signal.aborted) return
    if (kind === 'half-open') {
      this.#stats.halfOpens++
      this.#halfOpen = true
      this.#clearTimers()
      // Never released: what the peers send, their farewells included, stays in the sockets.
      this.#hold()
    } else {
      this.#stats.resets++
      this.#stop()
      for (const side of this.#sides) reset(side)
    }
  }

  /** Stops forwarding both ways until the returned function is called; stalls may overlap. */
  stall(): () => void {
    this.#stats.stalls++
    this.#hold()
    return () => {
      if (--this.#stalls > 0) return
      this.#gate?.resolve()
      this.#gate = undefined
    }
  }

  destroy(): void {
    this.#stop()
    for (const side of this.#sides) destroy(side)
  }

  #hold(): void {
    this.#stalls++
    this.#gate ??= Promise.withResolvers<void>()
  }

  /** Bytes go on only as fast as the other side takes them: at most one chunk is held here. */
  async #forward(
    [source, destination]: readonly [Socket, Socket],
    { random, count }: { random: Random; count: 'bytesUp' | 'bytesDown' },
  ): Promise<void> {
    const { signal } = this.#end
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        for (const piece of this.#slices(chunk, random)) {
          if (this.#gate) await this.#gate.promise
          if (signal.aborted) return
          if (!destination.write(piece)) await once(destination, 'drain', { signal })
          this.#stats[count] += piece.length
          if (piece.length < chunk.length) await nextTurn()
        }
      }
      if (this.#gate) await this.#gate.promise
      destination.end()
    } catch {
      // A side is gone; its 'close' tells the other one.
    }
  }

  *#slices(chunk: Buffer, random: Random): Generator<Buffer> {
    const { sliceBytes } = this.#faults
    for (let start = 0; start < chunk.length;) {
      const end = sliceBytes ? start + Math.max(1, random.int(...sliceBytes)) : chunk.length
      yield chunk.subarray(start, end)
      start = end
    }
  }

  /** What one side does, the other one gets to see: a reset as a reset. Not where the line is dead. */
  #watch(side: Socket, other: Socket): Promise<void> {
    side.on('error', () => {})
    return new Promise((resolve) => {
      side.once('close', (hadError) => {
        resolve()
        if (this.#halfOpen || this.#end.signal.aborted) return
        if (!hadError && side.readableEnded && side.writableFinished) return
        this.#stop()
        reset(other)
      })
    })
  }

  #scheduleStall(random: Random): void {
    const { stallMs, stallEveryMs = [20, 200] } = this.#faults
    if (!stallMs) return
    this.#after(random.int(...stallEveryMs), () => {
      const release = this.stall()
      this.#after(random.int(...stallMs), () => {
        release()
        this.#scheduleStall(random)
      })
    })
  }

  #after(delayMs: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, delayMs)
    this.#timers.add(timer)
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #stop(): void {
    this.#clearTimers()
    this.#end.abort()
    this.#gate?.resolve()
  }
}

const resetting = new WeakSet<Socket>()

/** Resets a socket, if it can be: Node never closes one that is reset while it is being shut down. */
function reset(side: Socket): void {
  if (resetting.has(side)) return
  if (side.writableEnded || side.writableLength > 0) {
    side.destroy()
  } else {
    resetting.add(side)
    side.resetAndDestroy()
  }
}

/** Closes a socket; one that is being reset closes by itself, and must not be disturbed. */
function destroy(side: Socket): void {
  if (!resetting.has(side)) side.destroy()
}
