import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Page, chromium } from 'playwright-core'
import { build } from 'vite'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** Whether there is no browser: it comes with `apt-get install chromium`. */
export const isMissing = !existsSync(CHROMIUM)
if (isMissing)
  process.emitWarning('Skipped: the examples in a browser. To run them: apt-get install chromium')

/** The page that an example is loaded into. */
export const PAGE =
  '<!doctype html><title>Example</title><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/page.js"></script>'

/** A page in a browser, and what it wrote to its console. */
export interface Tab extends AsyncDisposable {
  readonly page: Page
  readonly lines: readonly string[]
  /** Errors and warnings among them. */
  readonly problems: readonly string[]
}

/** Opens an address in a browser of its own. */
export async function openTab(url: string): Promise<Tab> {
  const browser = await chromium.launch({ executablePath: CHROMIUM })
  const page = await browser.newPage()
  const lines: string[] = []
  const problems: string[] = []
  page.on('console', (message) => {
    lines.push(message.text())
    if (['error', 'warning'].includes(message.type())) problems.push(message.text())
  })
  page.on('pageerror', (error) => problems.push(error.message))
  await page.goto(url)
  return { page, lines, problems, [Symbol.asyncDispose]: () => browser.close() }
}

/** Bundles a file of this repository for a browser. */
export async function bundled(path: string): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"development"' },
    resolve: { conditions: ['@turnpike/source'] },
    build: {
      write: false,
      minify: false,
      target: 'es2023',
      rolldownOptions: { input: fileURLToPath(new URL(path, import.meta.url)), output: { format: 'es' } },
    },
  })
  const [first] = Array.isArray(output) ? output : [output]
  const chunk = first && 'output' in first && first.output.find(({ type }) => type === 'chunk')
  if (!chunk || chunk.type !== 'chunk') throw new Error(`Nothing was built of ${path}.`)
  return chunk.code
}
