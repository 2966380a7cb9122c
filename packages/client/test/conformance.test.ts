import { describe, expect, test } from 'vitest'
import { CONFORMANCE, FALLBACK } from './conformance-cases.ts'
import { runCase } from './conformance-driver.ts'
import { startFaultServer } from './fault-server.ts'

describe.each(['websocket', 'sse'] as const)(
  'over %s, every run is read whole and started once, where',
  (transport) => {
    test.concurrent.each(CONFORMANCE)('$title', async (spec) => {
      await using server = await startFaultServer()
      expect(await runCase(server.origin, spec, { transport })).toEqual([])
    })
  },
)

describe('a client that chooses its wire gets through where', () => {
  test.concurrent.each(FALLBACK)('$title', async (spec) => {
    await using server = await startFaultServer()
    expect(await runCase(server.origin, spec, { transport: 'auto' })).toEqual([])
  })
})
