import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, type Page, chromium } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serve } from '../src/index.ts'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const isMissing = !existsSync(CHROMIUM)
if (isMissing) console.warn('Skipped: the page in a browser. To run it: apt-get install chromium')

describe.skipIf(isMissing)('the page, in Chromium', () => {
  let browser: Browser
  let server: Awaited<ReturnType<typeof serve>>
  const problems: string[] = []

  beforeAll(async () => {
    await build({ root: fileURLToPath(new URL('../../playground', import.meta.url)), logLevel: 'silent' })
    server = await serve({ port: 0, host: '127.0.0.1', allowedOrigins: [] }, { DEMO_TOKENS_PER_SECOND: '60' })
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--disable-background-networking'] })
  }, 60_000)

  afterAll(async () => {
    await browser.close()
    await server.close(0)
  })

  async function open(path = '/'): Promise<Page> {
    const page = await browser.newPage()
    page.on('pageerror', (error) => problems.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text())
    })
    await page.goto(server.url + path)
    return page
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.getByTestId('composer').fill(text)
    await page.getByTestId('send').click()
  }

  const answerOf = (page: Page): ReturnType<Page['getByTestId']> =>
    page.getByTestId('message-assistant').last()

  /** What the server has as the last answer of the thread in the page's address. */
  async function storedAnswer(page: Page): Promise<{ status: string; text: string }> {
    const { threads } = (await (await fetch(`${server.url}/threads`)).json()) as { threads: { id: string }[] }
    const thread = threads.find(({ id }) => decodeURIComponent(page.url()).includes(id))
    const response = await fetch(`${server.url}/threads/${encodeURIComponent(thread?.id ?? '')}/messages`)
    const { messages } = (await response.json()) as {
      messages: { status: string; parts: { text: string }[] }[]
    }
    const last = messages.at(-1)
    return { status: last?.status ?? '', text: last?.parts.map((part) => part.text).join('') ?? '' }
  }

  const squash = (text: string): string => text.replaceAll(/\s+/g, ' ').trim()

  test('a cut in the middle of an answer loses nothing: the text is exact after coming back', async () => {
    const page = await open()
    await say(page, 'Hello there')
    await expect.poll(() => answerOf(page).textContent()).toContain('said')
    await page.getByTestId('cut').click()
    const whileCut = await answerOf(page).innerText()
    await expect.poll(async () => (await storedAnswer(page)).status, { timeout: 15_000 }).toBe('done')
    expect(await answerOf(page).innerText()).toBe(whileCut)
    await page.getByTestId('cut').click()
    await page.getByTestId('resume-note').waitFor()
    const { text } = await storedAnswer(page)
    await expect.poll(async () => squash(await answerOf(page).innerText())).toContain(squash(text))
    await page.close()
  }, 40_000)

  test('a second tab of the same address shows the same conversation, and a reload too', async () => {
    const first = await open()
    await say(first, 'Tell me a long story')
    await expect.poll(() => answerOf(first).textContent()).toContain('tollhouse')
    const second = await browser.newPage()
    await second.goto(first.url())
    await expect.poll(() => answerOf(second).textContent()).toContain('tollhouse')
    await second.getByTestId('stop').click()
    for (const page of [first, second]) await page.getByTestId('stop').waitFor({ state: 'hidden' })
    const { status, text } = await storedAnswer(first)
    expect(status).toBe('cancelled')
    await first.reload()
    for (const page of [first, second]) {
      await expect.poll(async () => squash(await answerOf(page).innerText())).toContain(squash(text))
    }
    await Promise.all([first.close(), second.close()])
  }, 40_000)

  test('the showcase asks for approval, and goes on once it is given', async () => {
    const page = await open()
    await page.getByTestId('agent').selectOption('showcase')
    await say(page, 'Show me everything')
    const approve = page.getByTestId('approve').locator('visible=true')
    await approve.click({ timeout: 60_000 })
    await approve.waitFor({ state: 'hidden' })
    await expect.poll(async () => (await storedAnswer(page)).status, { timeout: 30_000 }).toBe('done')
    await page.close()
  }, 90_000)

  test('nothing went wrong in the console', () => {
    expect(problems).toEqual([])
  })
})
