import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { expect, test } from 'vitest'

const BUDGET_BYTES = 9 * 1024

test('the side of the tools is smaller than the client, and has no schemas inside', async () => {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: ['@turnpike/source'] },
    build: {
      write: false,
      minify: true,
      target: 'es2023',
      rolldownOptions: {
        input: fileURLToPath(new URL('../src/tools/index.ts', import.meta.url)),
        preserveEntrySignatures: 'strict',
        output: { format: 'es' },
      },
    },
  })
  const [first] = Array.isArray(output) ? output : [output]
  if (!first || !('output' in first)) throw new Error('Nothing was built.')
  const chunk = first.output.find((each) => each.type === 'chunk')
  const code = chunk?.code ?? ''
  expect(chunk?.imports).toEqual([])
  expect(code).not.toMatch(/zod|safeParse|discriminator/i)
  expect(code).not.toMatch(/node:|process\.|Buffer\./)
  expect(gzipSync(code).length).toBeLessThan(BUDGET_BYTES)
})
