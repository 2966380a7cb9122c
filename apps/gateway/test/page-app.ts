import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Browser, type BrowserContextOptions, type Locator, type Page, chromium } from 'playwright-core'
import { expect, vi } from 'vitest'
import { serve } from '../src/index.ts'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const PLAYGROUND = fileURLToPath(new URL('../../playground', import.meta.url))
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }

/** There is no browser here to look at the page with. */
export const isChromiumMissing = !existsSync(CHROMIUM)
if (isChromiumMissing) console.warn('Skipped: the page in a browser. To run it: apt-get install chromium')

/** Builds the page, and starts a browser to look at it. */
export async function startBrowser(): Promise<Browser> {
  // In a process of its own: in this one, libraries would be built as for tests.
  const vite = join(createRequire(import.meta.url).resolve('vite/package.json'), '../bin/vite.js')
  const env = { ...process.env, NODE_ENV: 'production' }
  await promisify(execFile)(process.execPath, [vite, 'build', PLAYGROUND, '--logLevel', 'error'], { env })
  return chromium.launch({ executablePath: CHROMIUM, args: ['--disable-background-networking'] })
}

/** A message as the server has it. */
export interface StoredAnswer {
  readonly status: string
  readonly text: string
}

export interface PageAppOptions {
  /** The pace of the demo model; 0 is as fast as possible. @default 0 */
  readonly tokensPerSecond?: number
  /** What tokens are signed with. @default nobody needs one */
  readonly secret?: string
}

/** A gateway with its page, and tabs that look at it. */
export class PageApp implements AsyncDisposable {
  /** What must not happen in any tab. */
  readonly problems: string[] = []
  readonly #browser: Browser
  readonly #server: Awaited<ReturnType<typeof serve>>
  readonly #pages: Page[] = []

  private constructor(browser: Browser, server: Awaited<ReturnType<typeof serve>>) {
    this.#browser = browser
    this.#server = server
  }

  static async start(browser: Browser, options: PageAppOptions = {}): Promise<PageApp> {
    const { tokensPerSecond = 0, secret } = options
    const settings = { port: 0, host: '127.0.0.1', allowedOrigins: [] }
    const env = { DEMO_TOKENS_PER_SECOND: String(tokensPerSecond) }
    return new PageApp(browser, await serve(settings, { ...env, TURNPIKE_TOKEN_SECRET: secret }))
  }

  get url(): string {
    return this.#server.url
  }

  /** Opens a tab of a browser of its own. */
  async open(address = '/', options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.#browser.newPage({ viewport: { width: 1280, height: 800 }, ...options })
    this.#pages.push(page)
    page.on('pageerror', (error) => this.problems.push(error.message))
    page.on('dialog', (dialog) => {
      this.problems.push(`a dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.on('console', (message) => {
      if (/Content Security Policy|React|Refused/i.test(message.text())) this.problems.push(message.text())
    })
    await page.goto(new URL(address, this.url).href)
    return page
  }

  openPhone(address = '/'): Promise<Page> {
    return this.open(address, PHONE)
  }

  /** What the server has as the last answer of the thread in a tab's address. */
  async storedAnswer(page: Page): Promise<StoredAnswer> {
    const id = decodeURIComponent(new URL(page.url()).hash.slice('#/t/'.length))
    const response = await fetch(`${this.url}/threads/${encodeURIComponent(id)}/messages`)
    const { messages = [] } = (await response.json()) as {
      messages?: { status: string; parts: { type: string; text?: string }[] }[]
    }
    const last = messages.at(-1)
    const texts = last?.parts.filter(({ type }) => type === 'text').map(({ text }) => text)
    return { status: last?.status ?? '', text: texts?.join('\n\n') ?? '' }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pages.map((page) => page.context().close()))
    await this.#server.close(0)
  }
}

/** Writes a message, and sends it with the button. */
export async function say(page: Page, text: string): Promise<void> {
  await page.getByTestId('composer').fill(text)
  await page.getByTestId('send').click()
}

/** The last answer in a tab. */
export function answerOf(page: Page): Locator {
  return page.getByTestId('message-assistant').last()
}

/** Expects something of a page before long: browsers are not the fastest, and many are at work. */
export function eventually<Value>(
  get: () => Value | Promise<Value>,
  check: (it: ReturnType<typeof expect<Awaited<Value>>>) => void,
): Promise<void> {
  return vi.waitFor(async () => check(expect(await get())), { timeout: 20_000, interval: 50 })
}

/** A text without what a browser makes of its spaces. */
export function squashed(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim()
}
