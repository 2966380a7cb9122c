import { AsyncResource } from 'node:async_hooks'
import { readdirSync } from 'node:fs'
import type { Server } from 'node:http'
import { Socket } from 'node:net'
import { queryObjects } from 'node:v8'
import type { Gateway } from '@turnpike/gateway'

/** What the server's process holds. Bytes say what is alive only after a garbage collection. */
export interface Sample {
  readonly rssBytes: number
  /** Heap, and what is outside of it. */
  readonly liveBytes: number
  readonly cpuMs: number
  readonly files: number
  readonly connections: number
  /** Listeners on the process and on the HTTP server. */
  readonly listeners: number
  /** What keeps the event loop alive, by kind. */
  readonly resources: Readonly<Record<string, number>>
}

/** Objects of a kind that are alive, after a garbage collection; timers that hold nothing up are among them. */
export interface Census {
  readonly timers: number
  readonly sockets: number
  readonly aborts: number
  readonly asyncResources: number
  readonly maps: number
  readonly sets: number
}

/** Takes a sample. */
export function sampleOf({ gateway, server }: { gateway: Gateway; server: Server }): Sample {
  const { rss, heapUsed, external } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const resources: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1
  return {
    rssBytes: rss,
    liveBytes: heapUsed + external,
    cpuMs: (user + system) / 1_000,
    files: readdirSync('/proc/self/fd').length,
    connections: gateway.connectionCount,
    listeners: listenersOf(process) + listenersOf(server),
    resources,
  }
}

/** Counts what is alive. */
export function census(): Census {
  const timer = setTimeout(() => {}, 0)
  clearTimeout(timer)
  return {
    timers: count(timer.constructor),
    sockets: count(Socket),
    aborts: count(AbortController),
    asyncResources: count(AsyncResource),
    maps: count(Map),
    sets: count(Set),
  }
}

function count(kind: unknown): number {
  return queryObjects(kind as new () => object, { format: 'count' })
}

function listenersOf(emitter: NodeJS.EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)
}
