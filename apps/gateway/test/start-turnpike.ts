import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Inbox } from '@turnpike/testkit'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Whatever keys the machine has, tests talk to no provider, and whatever terminal it has, to a plain one. */
const PLAIN = { OPENAI_API_KEY: '', OPENAI_BASE_URL: '', ANTHROPIC_API_KEY: '', TURNPIKE_TOKEN: '' }

type Environment = Readonly<Record<string, string>>

/** A `turnpike` that runs. */
export interface Turnpike extends AsyncDisposable {
  readonly process: ChildProcessWithoutNullStreams
  /** Lines of its errors and of its output, as they come. */
  readonly notes: Inbox<string>
  readonly lines: Inbox<string>
  /** All of its output so far. */
  readonly output: () => string
  /** Resolves once the output has that text. */
  readonly said: (text: string) => Promise<void>
  /** Types a line. */
  readonly type: (line: string) => void
  /** The exit code, once everything it said is here. */
  readonly exited: Promise<number | null>
}

/** Starts the command of the source tree, with pipes for a terminal. */
export function startTurnpike(args: readonly string[], env: Environment = {}): Turnpike {
  const main = 'apps/gateway/src/main.ts'
  const child = spawn(process.execPath, ['--conditions=@turnpike/source', main, ...args], {
    cwd: root,
    env: { ...process.env, ...PLAIN, ...env },
  })
  // Whoever has left reads no more.
  child.stdin.on('error', () => {})
  let output = ''
  const waiting = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    for (const look of waiting) look()
  })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  return {
    process: child,
    notes: linesOf(child.stderr, `notes of ${args.join(' ')}`),
    lines: linesOf(child.stdout, `lines of ${args.join(' ')}`),
    output: () => output,
    said: (text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!output.includes(text)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    type: (line) => void child.stdin.write(`${line}\n`),
    exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** A server that can be gone and come back, at the same address and with the same threads. */
export interface ServedTurnpike extends AsyncDisposable {
  readonly url: string
  readonly stop: (signal: 'SIGTERM' | 'SIGKILL') => Promise<void>
  readonly startAgain: () => Promise<void>
}

/** Serves the agents that come with the command. */
export async function serveTurnpike(env: Environment = {}): Promise<ServedTurnpike> {
  const dataDir = await mkdtemp(join(tmpdir(), 'turnpike-'))
  const start = (port: string): Turnpike =>
    startTurnpike(['serve'], { TURNPIKE_DATA_DIR: dataDir, ...env, PORT: port })
  let serving = start('0')
  const url = await addressOf(serving)
  return {
    url,
    async stop(signal) {
      serving.process.kill(signal)
      await serving.exited
    },
    async startAgain() {
      serving = start(new URL(url).port)
      await addressOf(serving)
    },
    async [Symbol.asyncDispose]() {
      await serving[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

async function addressOf({ lines }: Turnpike): Promise<string> {
  const line = (await lines.until((text) => text.includes('http://'))).at(-1) ?? ''
  return /http:\/\/\S+/.exec(line)?.[0] ?? ''
}

function linesOf(stream: NodeJS.ReadableStream, name: string): Inbox<string> {
  const lines = new Inbox<string>({ name, deadlineMs: 50_000 })
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const whole = (rest + text).split('\n')
    rest = whole.pop() ?? ''
    for (const line of whole) lines.push(line)
  })
  stream.on('end', () => {
    if (rest !== '') lines.push(rest)
    lines.end()
  })
  return lines
}
