import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Questions, ServerOptions } from './control.ts'

const SCRIPT = join(import.meta.dirname, 'server.ts')
const FLAGS = ['--conditions=@turnpike/source', '--expose-gc', '--disable-warning=ExperimentalWarning']

interface Said {
  readonly baseUrl?: string
  readonly id?: number
  readonly result?: unknown
}

/** A gateway in a process of its own, on a store in a file that outlives the process and not this object. */
export class ServerProcess implements AsyncDisposable {
  readonly #folder: string
  readonly #options: ServerOptions
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #process: ChildProcess | undefined
  #lastId = 0
  baseUrl = ''

  private constructor(folder: string, options: ServerOptions) {
    this.#folder = folder
    this.#options = options
  }

  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const server = new ServerProcess(await mkdtemp(join(tmpdir(), 'turnpike-chaos-')), options)
    await server.restart()
    return server
  }

  get port(): number {
    return Number(new URL(this.baseUrl).port)
  }

  get webSocketUrl(): string {
    return `${this.baseUrl.replace('http', 'ws')}/stream`
  }

  /** Begins, or begins again at the same port, on what the process before has left. */
  async restart(): Promise<void> {
    const again = this.baseUrl === '' ? {} : { port: this.port }
    const options: ServerOptions = { file: join(this.#folder, 'store.sqlite'), ...this.#options, ...again }
    const child = fork(SCRIPT, [JSON.stringify(options)], { execArgv: FLAGS, serialization: 'advanced' })
    this.#process = child
    const listening = Promise.withResolvers<void>()
    child.on('message', ({ baseUrl, id, result }: Said) => {
      if (baseUrl !== undefined) {
        this.baseUrl = baseUrl
        listening.resolve()
      } else if (id !== undefined) {
        this.#waiting.get(id)?.resolve(result)
        this.#waiting.delete(id)
      }
    })
    child.once('exit', (code, signal) => {
      const error = new Error(`The server ended with ${code ?? signal}.`)
      listening.reject(error)
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
    })
    await listening.promise
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  ask<Name extends keyof Questions>(
    name: Name,
    asked: Questions[Name]['asked'],
  ): Promise<Questions[Name]['answer']> {
    const id = ++this.#lastId
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    this.#process?.send({ id, name, ...asked })
    return waiting.promise as Promise<Questions[Name]['answer']>
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
