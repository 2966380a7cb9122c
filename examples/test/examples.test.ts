import { spawn } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { createGatewayServer } from '@turnpike/gateway/server'
import { agentsFrom } from 'turnpike'
import { expect, test } from 'vitest'
import { PAGE, bundled, isMissing, openTab } from './browser.ts'

/** A server with the agents of the command, and a page that has a script. */
async function startServer(script: (url: string) => string): Promise<{ url: string } & AsyncDisposable> {
  const server = createGatewayServer({
    agents: await agentsFrom({ DEMO_TOKENS_PER_SECOND: '0' }),
    logger: { info() {}, error() {} },
    routes: (app) => {
      app.get('/', (c) => c.html(PAGE))
      app.get('/page.js', (c) => c.body(script(url), 200, { 'content-type': 'text/javascript' }))
    },
  })
  const url = await server.listen(0)
  return { url, [Symbol.asyncDispose]: () => server.close(0) }
}

/** An example as it is, but for where the server is. */
const placed = (code: string, url: string): string => code.replaceAll('http://127.0.0.1:3000', url)

test('the plain example runs in Node', async () => {
  await using server = await startServer(() => '')
  const example = await readFile(new URL('../vanilla.ts', import.meta.url), 'utf8')
  expect(example.trimEnd().split('\n').length).toBeLessThanOrEqual(22)
  const copy = fileURLToPath(new URL(`vanilla-${process.pid}.test-run.ts`, import.meta.url))
  await writeFile(copy, placed(example, server.url))
  try {
    const run = spawn(process.execPath, ['--conditions=@turnpike/source', copy])
    const exited = new Promise((resolve) => run.once('exit', resolve))
    const [output, errors] = await Promise.all([text(run.stdout), text(run.stderr)])
    expect(errors).toBe('')
    expect(await exited).toBe(0)
    expect(output).toMatch(/get_weather: \{\s+city: 'Kyoto'/)
    expect(output).toContain('send_postcard needs approval, and gets it.')
    expect(output).toMatch(/\ndone: [^]* Thank you for the approval/)
  } finally {
    await rm(copy)
  }
})

test.skipIf(isMissing)('the plain example runs in a browser', async () => {
  const code = await bundled('../vanilla.ts')
  await using server = await startServer((url) => placed(code, url))
  await using tab = await openTab(server.url)
  await expect.poll(() => tab.lines.at(-1), { timeout: 10_000 }).toMatch(/^done: /)
  expect(tab.lines).toContain('send_postcard needs approval, and gets it.')
})

test.skipIf(isMissing)(
  'the React example talks, asks for approval, and is there again after a reload',
  async () => {
    const code = await bundled('./react-page.tsx')
    await using server = await startServer(() => code)
    await using tab = await openTab(server.url)
    const { page } = tab
    await page.getByPlaceholder('Message').fill('Plan a day in Kyoto.')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByRole('button', { name: 'Stop' }).waitFor()
    await page.getByRole('button', { name: 'Approve send_postcard' }).click()
    const answer = page.locator('.assistant', { hasText: 'Thank you for the approval' })
    await answer.waitFor()
    await page.getByRole('button', { name: 'Send' }).waitFor()
    expect(await page.getByPlaceholder('Message').inputValue()).toBe('')
    await page.reload()
    await answer.waitFor()
    expect(await page.locator('.user').allInnerTexts()).toEqual(['Plan a day in Kyoto.'])
    expect(tab.problems).toEqual([])
  },
)
