import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Inbox } from '@turnpike/testkit'
import { expect, test } from 'vitest'

const docs = new URL('../../../docs/tool-sync.md', import.meta.url)

/** The code of the page behind a mark. */
async function codeOf(mark: string): Promise<string> {
  const text = await readFile(docs, 'utf8')
  const code = new RegExp(`<!-- ${mark} -->\\n\`\`\`ts\\n([^]*?)\`\`\``).exec(text)?.[1]
  if (code === undefined) throw new Error(`There is no code behind ${mark}.`)
  return code
}

/** Runs code as a program of its own, and gives its lines. */
async function start(
  name: string,
  code: string,
): Promise<{ readonly lines: Inbox<string> } & AsyncDisposable> {
  const file = fileURLToPath(new URL(`${name}-${process.pid}.test-run.ts`, import.meta.url))
  await writeFile(file, code)
  const program = spawn(process.execPath, ['--conditions=@turnpike/source', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(program, 'exit')
  const lines = new Inbox<string>({ name: `lines of ${name}` })
  createInterface(program.stdout).on('line', (line) => lines.push(line))
  return {
    lines,
    async [Symbol.asyncDispose]() {
      program.kill('SIGKILL')
      await exited
      await rm(file)
    },
  }
}

test('the page about tool sync tells what works', async () => {
  const script = `callingModel([{ tool: 'shop_status', args: { order: 'A1' } }, 'It was shipped.'])`
  const gatewayCode = (await codeOf('gateway'))
    .replace(/import \{ openai \}.*/, `import { callingModel } from '../../gateway/test/calling-agent.ts'`)
    .replace("openai('gpt-4o-mini')", script)
    .replace('listen(3000)', 'listen(0)')
  await using gateway = await start('gateway', gatewayCode)
  const url = (await gateway.lines.next()).replace('Open at ', '')
  const entityCode = (await codeOf('entity'))
    .replace('@turnpike/client/tools', '../src/tools/index.ts')
    .replace('http://127.0.0.1:3000', url)
  await using shop = await start('shop', entityCode)
  expect(await shop.lines.until((line) => line === 'open')).toEqual(['connecting', 'open'])
  const body = JSON.stringify({ message: 'Where is A1?' })
  const response = await fetch(`${url}/agents/clerk/chat/stream`, { method: 'POST', body })
  const events = await response.text()
  expect(events).toContain('"tool":"shop_status","result":{"order":"A1","shipped":true}')
  expect(events).toContain('"text":"It was shipped."')
  expect(await shop.lines.next()).toBe('anonymous asks for A1')
})
