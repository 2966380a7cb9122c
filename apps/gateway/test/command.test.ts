import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Inbox, connectWebSocket } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { settingsFrom } from '../src/index.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Whatever keys the machine has, tests talk to no provider. */
const OFFLINE = { OPENAI_API_KEY: '', OPENAI_BASE_URL: '', ANTHROPIC_API_KEY: '' }

/** A process of the source tree, its lines as they come, and how it ended. */
function start(
  args: readonly string[],
  env: Record<string, string> = {},
): {
  process: ChildProcess
  lines: Inbox<string>
  exited: Promise<number | null>
} & AsyncDisposable {
  const dataDir = mkdtempSync(join(tmpdir(), 'turnpike-'))
  const child = spawn(process.execPath, ['--conditions=@turnpike/source', ...args], {
    cwd: root,
    env: { ...process.env, ...OFFLINE, TURNPIKE_DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines = new Inbox<string>({ name: `lines of ${args.join(' ')}` })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) =>
      text
        .trim()
        .split('\n')
        .forEach((line) => lines.push(line)),
    )
  }
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  return {
    process: child,
    lines,
    exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

const MAIN = 'apps/gateway/src/main.ts'

async function addressOf(lines: Inbox<string>): Promise<string> {
  const line = (await lines.until((text) => text.includes('http://'))).at(-1) ?? ''
  return /http:\/\/\S+/.exec(line)?.[0] ?? ''
}

test('serve talks, and on SIGTERM lets the run end and exits with 0', async () => {
  await using serving = start([MAIN, 'serve'], { PORT: '0' })
  const address = await addressOf(serving.lines)
  await using client = await connectWebSocket({ url: `${address.replace('http', 'ws')}/stream` })
  await client.request('thread.send', { message: 'hello' })
  await client.inbox.until((frame) => frame.type === 'text-delta')
  serving.process.kill('SIGTERM')
  const told = await client.inbox.until((frame) => frame.type === 'goodbye')
  expect(told.at(-2)).toMatchObject({ type: 'finish', finishReason: 'stop' })
  expect(told.filter((frame) => frame.type === 'text-delta').length).toBeGreaterThan(10)
  expect(await serving.exited).toBe(0)
})

test.each([
  [['nonsense'], {}, 2, 'there is no command'],
  [['serve'], { PORT: 'eighty' }, 1, 'PORT must be a number'],
  [['serve'], { USER_CONNECTIONS: '-1' }, 1, 'USER_CONNECTIONS must be a number'],
  [['serve'], { USER_CONNECTIONS: 'many' }, 1, 'USER_CONNECTIONS must be a number'],
  [['serve'], { ALLOWED_ORIGINS: 'app.example' }, 1, 'got "app.example"'],
  [['--help'], {}, 0, 'turnpike serve'],
])('turnpike %j says what it makes of that', async (...row) => {
  const [args, env, code, said] = row
  await using run = start([MAIN, ...args], env)
  expect(await run.exited).toBe(code)
  const lines: string[] = []
  run.lines.end()
  for await (const line of run.lines) lines.push(line)
  expect(lines.join('\n')).toContain(said)
})

test('settings come from the environment, with defaults', () => {
  expect(settingsFrom({})).toEqual({
    port: 3000,
    host: '127.0.0.1',
    dataDir: '.turnpike',
    allowedOrigins: [],
    userConnections: 10,
  })
  const given = { PORT: '80', HOST: '::', TURNPIKE_DATA_DIR: '/srv/data', USER_CONNECTIONS: '0' }
  const origins = 'https://a.example, https://b.example'
  expect(settingsFrom({ ...given, ALLOWED_ORIGINS: origins })).toEqual({
    port: 80,
    host: '::',
    dataDir: '/srv/data',
    allowedOrigins: ['https://a.example', 'https://b.example'],
    userConnections: 0,
  })
})

test('the example of the README serves an agent', async () => {
  const readme = await readFile(new URL('README.md', `file://${root}`), 'utf8')
  const code = /<!-- example: run by a test -->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  const file = new URL(`example-${process.pid}.test-run.ts`, new URL('apps/gateway/test/', `file://${root}`))
  await writeFile(file, code.replace('listen(3000)', 'listen(0)'))
  try {
    await using example = start([fileURLToPath(file)])
    const address = await addressOf(example.lines)
    const body = JSON.stringify({ message: 'say this again' })
    const response = await fetch(`${address}/agents/parrot/chat/stream`, { method: 'POST', body })
    expect(await response.text()).toContain('"text":"say this again "')
  } finally {
    await rm(file)
  }
})
