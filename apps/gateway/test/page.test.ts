import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe } from 'vitest'
import { accessTests } from './page-access.ts'
import { isChromiumMissing, startBrowser } from './page-app.ts'
import { resumeTests } from './page-resume.ts'
import { showcaseTests } from './page-showcase.ts'

// One file, as the page is built once; side by side, as most of the time is waiting for words.
describe.skipIf(isChromiumMissing)('the page, in Chromium', { concurrent: true }, () => {
  let browser: Browser
  const theBrowser = (): Browser => browser

  beforeAll(async () => {
    browser = await startBrowser()
  }, 60_000)

  afterAll(() => browser.close())

  resumeTests(theBrowser)
  showcaseTests(theBrowser)
  accessTests(theBrowser)
})
