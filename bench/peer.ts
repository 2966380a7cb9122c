import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import type { Question, Sample } from './servers/control.ts'

const SERVER_CORE = '0'
const CLIENT_CORE = '1'

/**
 * Who is measured: the gateway as it is served, or with its log alone and no store; or a bare `ws` server with frames as
 * short as can be, or as long as the gateway's; or a bare Socket.IO server. And the connection manager, beside a bare `ws` server
 * that has loaded the same modules.
 */
export type PeerName =
  | 'turnpike'
  | 'log alone'
  | 'ws small'
  | 'ws equal'
  | 'ws loaded'
  | 'bare Socket.IO'
  | 'manager'
  | 'manager, bearer'

const COMMANDS: Record<PeerName, readonly string[]> = {
  turnpike: ['turnpike.ts'],
  'log alone': ['turnpike.ts', JSON.stringify({ logAlone: true })],
  'ws small': ['bare-ws.ts', 'small'],
  'ws equal': ['bare-ws.ts', 'equal'],
  'ws loaded': ['bare-ws-loaded.ts', 'small'],
  'bare Socket.IO': ['bare-socket-io.ts'],
  manager: ['manager.ts'],
  'manager, bearer': ['manager.ts', JSON.stringify({ bearer: true })],
}

export interface PeerOptions {
  /** Arguments of the server. */
  readonly args?: readonly string[]
  /** Of Node. */
  readonly flags?: readonly string[]
}

/** Whether each side can have a core to itself. */
export const isPinned =
  availableParallelism() > 1 && spawnSync('taskset', ['-p', String(process.pid)]).status === 0

/** Takes this process, which is the clients, to a core of its own. */
export function pinClient(): void {
  if (isPinned) spawnSync('taskset', ['-acp', CLIENT_CORE, String(process.pid)])
}

/** Runs a script of this folder on the server's core; what it sends is the result. */
export async function resultOf(file: string): Promise<unknown> {
  const child = spawnOnServerCore([join(import.meta.dirname, file)])
  const ended = once(child, 'exit')
  const result = await answerOf(child)
  child.disconnect()
  await ended
  return result
}

function spawnOnServerCore(args: readonly string[]): ChildProcess {
  const node = [process.execPath, ...process.execArgv, ...args]
  const [command = '', ...rest] = isPinned ? ['taskset', '-c', SERVER_CORE, ...node] : node
  return spawn(command, rest, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
}

/** A server in a process of its own. */
export class Peer implements AsyncDisposable {
  readonly port: number
  readonly #process: ChildProcess

  private constructor(process: ChildProcess, port: number) {
    this.#process = process
    this.port = port
  }

  static async start(name: PeerName, options: PeerOptions = {}): Promise<Peer> {
    const { args = [], flags = [] } = options
    const [file = '', ...own] = COMMANDS[name]
    const script = join(import.meta.dirname, 'servers', file)
    const child = spawnOnServerCore(['--expose-gc', ...flags, script, ...own, ...args])
    return new Peer(child, Number(await answerOf(child)))
  }

  /** What the server has used; with `settled`, after a garbage collection. */
  async sample(ask: 'sample' | 'settled' = 'sample'): Promise<Sample> {
    return (await this.#ask({ ask })) as Sample
  }

  /** The hash of what its agent has said since the last time, by the seeds of the orders. */
  async digests(): Promise<Record<number, string>> {
    return (await this.#ask({ ask: 'digests' })) as Record<number, string>
  }

  /** Where a file is named, a profile of the server's CPU from here to its end goes there. */
  async profileTo(file: string | undefined): Promise<void> {
    if (file === undefined) return
    mkdirSync(dirname(file), { recursive: true })
    await this.#ask({ profileTo: file })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.disconnect()
    await ended
  }

  #ask(question: Question): Promise<unknown> {
    const answer = answerOf(this.#process)
    this.#process.send(question)
    return answer
  }
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const ended = new AbortController()
  const onExit = (code: number | null): void => ended.abort(new Error(`A server ended with ${code}.`))
  child.once('exit', onExit)
  try {
    const [message] = (await once(child, 'message', { signal: ended.signal })) as unknown[]
    return message
  } finally {
    child.off('exit', onExit)
  }
}
