import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isPinned } from '../peer.ts'
import type { Question, Sample } from './control.ts'

const SERVER_CORE = '0'
const SETTLES = 3

export interface ServerCommand {
  /** In this folder. */
  readonly file: string
  readonly args?: readonly string[]
  /** Of Node. */
  readonly flags?: readonly string[]
}

/** A server of this folder in a process of its own, on the core that servers have, with flags of its own. */
export class StartedServer implements AsyncDisposable {
  readonly port: number
  readonly #process: ChildProcess

  private constructor(process: ChildProcess, port: number) {
    this.#process = process
    this.port = port
  }

  static async start({ file, args = [], flags = [] }: ServerCommand): Promise<StartedServer> {
    const own = [...process.execArgv, '--expose-gc', ...flags, join(import.meta.dirname, file), ...args]
    const node = [process.execPath, ...own]
    const [command = '', ...rest] = isPinned ? ['taskset', '-c', SERVER_CORE, ...node] : node
    const child = spawn(command, rest, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    return new StartedServer(child, Number(await answerOf(child)))
  }

  async sample(): Promise<Sample> {
    return (await this.#ask({ ask: 'sample' })) as Sample
  }

  /** After garbage collections: what one frees is sometimes let go of by the next. */
  async settled(): Promise<Sample> {
    for (let count = 1; count < SETTLES; count++) await this.#ask({ ask: 'settled' })
    return (await this.#ask({ ask: 'settled' })) as Sample
  }

  /** The hash of what its runs have said since the last time, by the seeds of the orders. */
  async digests(): Promise<Record<number, string>> {
    return (await this.#ask({ ask: 'digests' })) as Record<number, string>
  }

  /** Where a file is named, a profile of the CPU from here to the end goes there. */
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

function answerOf(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`A server ended with ${code}.`))
    child.once('exit', onExit)
    child.once('message', (answer) => {
      child.off('exit', onExit)
      resolve(answer)
    })
  })
}
