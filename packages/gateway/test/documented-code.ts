import { spawn } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The first code of a page below a heading. */
export function codeUnder(page: string, heading: string): string {
  return page.split(`## ${heading}\n`)[1]?.match(/```ts\n([\s\S]*?)```/)?.[1] ?? ''
}

/** Runs code as a module of its own; its lines arrive one by one. */
export async function startModule(
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

/** Takes lines up to the first with that in it. */
export async function lineWith(lines: AsyncIterator<string>, wanted: string): Promise<string> {
  for (;;) {
    const { done, value } = await lines.next()
    if (done === true) throw new Error(`"${wanted}" was never said.`)
    if (value.includes(wanted)) return value
  }
}
