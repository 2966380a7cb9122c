import { existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Runnable, defineAgent } from '@turnpike/agents'
import { createGatewayServer } from '@turnpike/gateway/server'
import { type PuppetAgent, countingAgent, puppetAgent } from '@turnpike/testkit'
import { type Browser, type Page, chromium } from 'playwright-core'
import { build } from 'vite'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** Whether there is no browser to test in: it comes with `apt-get install chromium`. */
export const isMissing = !existsSync(CHROMIUM)
if (isMissing) process.emitWarning('Skipped: the hooks in a browser. To run them: apt-get install chromium')

/** Says so many words each 20 ms, as many as its message asks for. */
function wordsAgent(name: string, atOnce: number): Runnable {
  return defineAgent({
    name,
    register: false,
    async *run({ text }, { signal }) {
      const words = Number(/\d+/.exec(text)?.[0] ?? 10)
      for (let n = 1; n <= words; n++) {
        if (n % atOnce === 0) await pause(20, undefined, { signal })
        yield `word${n} `
      }
    },
  })
}

export interface Site extends AsyncDisposable {
  readonly url: string
  readonly puppet: PuppetAgent
  /** What went wrong in any page. */
  readonly problems: string[]
  readonly open: (path?: string) => Promise<Page>
  readonly closeTabs: () => Promise<void>
  /** Threads that the server sends, one for each subscription. */
  readonly followed: () => Promise<readonly string[]>
  readonly connections: () => Promise<number>
}

/** A gateway that serves the test page, and a browser to look at it. `mode` is that of React. */
export async function startSite(mode: 'development' | 'production', html = ''): Promise<Site> {
  const code = await bundle(mode)
  const puppet = puppetAgent('puppet')
  const problems: string[] = []
  const server = createGatewayServer({
    agents: [countingAgent(), puppet, wordsAgent('paced', 1), wordsAgent('flood', 20)],
    logger: { info() {}, error() {} },
    routes: (app) => {
      app.get('/', (c) => c.html(pageOf('')))
      app.get('/rendered', (c) => c.html(pageOf(html)))
      app.get('/page.js', (c) => c.body(code, 200, { 'content-type': 'text/javascript' }))
      app.get('/favicon.ico', (c) => c.body(null, 204))
    },
  })
  const url = await server.listen(0)
  const browser: Browser = await chromium.launch({ executablePath: CHROMIUM })
  const listed = async (): Promise<{ threads: string[] }[]> => {
    const body = (await (await fetch(`${url}/connections`)).json()) as {
      connections: { threads: string[] }[]
    }
    return body.connections
  }
  return {
    url,
    puppet,
    problems,
    async open(path = '/') {
      const page = await browser.newPage()
      page.on('pageerror', (error) => problems.push(error.message))
      page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
      await page.addInitScript(countWhatIsLeft)
      await page.goto(url + path)
      return page
    },
    closeTabs: async () => void (await Promise.all(browser.contexts().map((context) => context.close()))),
    followed: async () => (await listed()).flatMap(({ threads }) => threads),
    connections: async () => (await listed()).length,
    async [Symbol.asyncDispose]() {
      await browser.close()
      await server.close(0)
    },
  }
}

declare global {
  /** Timers to come, and what is listened for on the window and the document. */
  var left: () => { timers: number; listeners: string[] }
}

/** Runs in the page, before everything else. */
function countWhatIsLeft(): void {
  const timers = new Set<unknown>()
  const listeners: string[] = []
  const { setTimeout: set, clearTimeout: clear } = globalThis
  const countingSet = (act: () => void, delayMs?: number): unknown => {
    const timer: unknown = set(() => {
      timers.delete(timer)
      act()
    }, delayMs)
    timers.add(timer)
    return timer
  }
  const countingClear = (timer: number): void => {
    timers.delete(timer)
    clear(timer)
  }
  Object.assign(globalThis, { setTimeout: countingSet, clearTimeout: countingClear })
  const { document } = globalThis as unknown as { document: EventTarget }
  for (const target of [globalThis as unknown as EventTarget, document]) {
    const add = target.addEventListener.bind(target)
    const remove = target.removeEventListener.bind(target)
    target.addEventListener = (type: string, listener: never, options: never) => {
      listeners.push(type)
      add(type, listener, options)
    }
    target.removeEventListener = (type: string, listener: never, options: never) => {
      const index = listeners.indexOf(type)
      if (index >= 0) listeners.splice(index, 1)
      remove(type, listener, options)
    }
  }
  // The browser's driver listens for the mouse.
  const ours = ['online', 'offline', 'visibilitychange', 'pagehide', 'pageshow', 'focus']
  globalThis.left = () => ({
    timers: timers.size,
    listeners: listeners.filter((type) => ours.includes(type)),
  })
}

function pageOf(html: string): string {
  return `<!doctype html><title>Hooks</title><div id="root">${html}</div><script type="module" src="/page.js"></script>`
}

async function bundle(mode: string): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    mode,
    oxc: { jsx: { runtime: 'automatic', development: mode === 'development' } },
    define: { 'process.env.NODE_ENV': JSON.stringify(mode) },
    resolve: { conditions: ['@turnpike/source'] },
    build: {
      write: false,
      minify: mode === 'production',
      target: 'es2023',
      rolldownOptions: {
        input: fileURLToPath(new URL('./main.tsx', import.meta.url)),
        output: { format: 'es' },
      },
    },
  })
  const [first] = Array.isArray(output) ? output : [output]
  if (!first || !('output' in first)) throw new Error('Nothing was built.')
  const chunk = first.output.find((each) => each.type === 'chunk')
  return chunk?.code ?? ''
}
