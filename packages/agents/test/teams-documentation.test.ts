import { readFile, rm, writeFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { defaultRegistry } from '../src/registry.ts'

const text = await readFile(new URL('../../../docs/teams-and-workflows.md', import.meta.url), 'utf8')
const examples = [...text.matchAll(/<!-- example: run by a test -->\n```ts\n([\s\S]*?)```/g)].map(
  ([, code = '']) => code,
)

test('the page on teams and workflows has examples', () => {
  expect(examples).toHaveLength(2)
})

test.each(examples)('example %# says what it says that it says', async (code) => {
  const file = new URL(`example-${process.pid}-${examples.indexOf(code)}.test-run.ts`, import.meta.url)
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  const before = new Set(defaultRegistry.list())
  await writeFile(file, code)
  try {
    await import(/* @vite-ignore */ file.href)
    const expected = [...code.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(([, line]) => line)
    expect(log.mock.calls.map(([line]: unknown[]) => line)).toEqual(expected)
    expect(defaultRegistry.list().length).toBeGreaterThan(before.size)
  } finally {
    log.mockRestore()
    await rm(file)
    for (const made of defaultRegistry.list()) {
      if (!before.has(made)) defaultRegistry.remove(made.name, made.info.kind)
    }
  }
})
