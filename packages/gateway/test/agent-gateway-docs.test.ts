import { spawn } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const page = await readFile(new URL('../../../docs/agent-gateway.md', import.meta.url), 'utf8')

/** The first code below a heading. */
function codeUnder(heading: string): string {
  return page.split(`## ${heading}\n`)[1]?.match(/```ts\n([\s\S]*?)```/)?.[1] ?? ''
}

/** Runs code as a module of its own; its lines arrive one by one. */
async function start(
  name: string,
  code: string,
): Promise<{ lines: AsyncIterator<string> } & AsyncDisposable> {
  const file = fileURLToPath(new URL(`${name}-${process.pid}.test-run.ts`, import.meta.url))
  await writeFile(file, code)
  const child = spawn(process.execPath, ['--conditions=@turnpike/source', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    lines,
    async [Symbol.asyncDispose]() {
      child.kill()
      await ended
      await rm(file)
    },
  }
}

async function lineWith(lines: AsyncIterator<string>, wanted: string): Promise<string> {
  for (;;) {
    const { done, value } = await lines.next()
    if (done === true) throw new Error(`"${wanted}" was never said.`)
    if (value.includes(wanted)) return value
  }
}

test('the server and the client of the page run as they are, and are as short as it says', async () => {
  const [serverCode, clientCode] = [codeUnder('A server'), codeUnder('A client')]
  const linesOf = (code: string): number => code.split('\n').filter((line) => line.trim() !== '').length
  expect(linesOf(serverCode)).toBeLessThanOrEqual(10)
  expect(linesOf(clientCode)).toBeLessThanOrEqual(15)

  const listening = "console.log('ready', server.address()?.port)"
  await using server = await start(
    'server',
    serverCode.replace('listen(3000', 'listen(0').replace("console.log('ready')", listening),
  )
  const port = (await lineWith(server.lines, 'ready')).split(' ').at(-1)
  await using client = await start('client', clientCode.replace(':3000/', `:${port}/`))
  expect(await lineWith(client.lines, 'done: ')).toMatch(/^done: \w/)
})
