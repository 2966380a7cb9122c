import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { expect, test } from 'vitest'

const BUDGET_BYTES = 15 * 1024

/** The default entry with everything it imports, as a page would ship it. */
async function bundle(): Promise<{ code: string; imports: readonly string[] }> {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: ['@turnpike/source'] },
    build: {
      write: false,
      minify: true,
      target: 'es2023',
      rolldownOptions: {
        input: fileURLToPath(new URL('../src/index.ts', import.meta.url)),
        preserveEntrySignatures: 'strict',
        output: { format: 'es' },
      },
    },
  })
  const [first] = Array.isArray(output) ? output : [output]
  if (!first || !('output' in first)) throw new Error('Nothing was built.')
  const chunk = first.output.find((each) => each.type === 'chunk')
  return { code: chunk?.code ?? '', imports: chunk?.imports ?? [] }
}

test('the client is small, has no schemas inside, and needs nothing beside itself', async () => {
  const { code, imports } = await bundle()
  expect(imports).toEqual([])
  expect(code).not.toMatch(/zod|safeParse|discriminator/i)
  expect(code).not.toMatch(/node:|process\.|Buffer/)
  expect(gzipSync(code).length).toBeLessThan(BUDGET_BYTES)
})
