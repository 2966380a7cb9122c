import { defineConfig } from 'vitest/config'

const conditions = ['@turnpike/source']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['packages/*/test/**/*.test.{ts,tsx}', 'apps/*/test/**/*.test.ts', 'examples/test/**/*.test.ts'],
    isolate: false,
    testTimeout: 20_000,
  },
})
