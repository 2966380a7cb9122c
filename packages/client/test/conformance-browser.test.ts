import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, type Page, chromium } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CONFORMANCE, FALLBACK } from './conformance-cases.ts'
import { startFaultServer } from './fault-server.ts'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const isMissing = !existsSync(CHROMIUM)
if (isMissing) process.emitWarning('Skipped: the client in a browser. To run it: apt-get install chromium')

describe.skipIf(isMissing)('in Chromium', () => {
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    const code = await bundleDriver()
    browser = await chromium.launch({ executablePath: CHROMIUM })
    page = await browser.newPage()
    await page.addScriptTag({ content: `${code};globalThis.runCase = runCase`, type: 'module' })
    await page.waitForFunction(() => 'runCase' in globalThis)
  }, 60_000)

  afterAll(() => browser?.close())

  const run = (origin: string, spec: object, transport: string): Promise<unknown> =>
    page.evaluate(
      (args) =>
        (globalThis as unknown as { runCase: (...args: unknown[]) => Promise<string[]> }).runCase(...args),
      [origin, spec, { transport }] as const,
    )

  describe.each(['websocket', 'sse'] as const)(
    'over %s, every run is read whole and started once, where',
    (transport) => {
      test.concurrent.each(CONFORMANCE)('$title', async (spec) => {
        await using server = await startFaultServer()
        expect(await run(server.origin, spec, transport)).toEqual([])
      })
    },
  )

  test.concurrent.each(FALLBACK)('a client that chooses its wire gets through where $title', async (spec) => {
    await using server = await startFaultServer()
    expect(await run(server.origin, spec, 'auto')).toEqual([])
  })
})

async function bundleDriver(): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: ['@turnpike/source'] },
    build: {
      write: false,
      minify: false,
      target: 'es2023',
      rolldownOptions: {
        input: fileURLToPath(new URL('conformance-driver.ts', import.meta.url)),
        preserveEntrySignatures: 'strict',
        output: { format: 'es' },
      },
    },
  })
  const [first] = Array.isArray(output) ? output : [output]
  const chunk = first && 'output' in first ? first.output.find((each) => each.type === 'chunk') : undefined
  return chunk?.code ?? ''
}
