import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const conditions = ['@turnpike/source']

export default defineConfig({
  root: join(import.meta.dirname, '..'),
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['chaos/*.chaos.ts'],
    // One after another: each takes the whole machine, and measures it.
    fileParallelism: false,
    testTimeout: 1_800_000,
  },
})
