import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { codeUnder, lineWith, startModule } from './documented-code.ts'

const page = await readFile(new URL('../../../docs/agent-server.md', import.meta.url), 'utf8')

const serverCode = codeUnder(page, 'A server')
  .replace('port: 3000', 'port: 0')
  .replace('demoModel()', 'demoModel({ tokensPerSecond: 0 })')
  .replace('@turnpike/gateway/manager', '../src/manager/index.ts')

test('the server, its routes, the client and the requests of the page run as they are, and stop', async () => {
  const down = codeUnder(page, 'Going down').replace(
    /server\.stop\(.*?\)/,
    (call) => `${call}.then(() => console.log('stopped'))`,
  )
  const bye =
    "server.registerRoute({ method: 'POST', path: '/bye', handler: () => { process.kill(process.pid) } })"
  const code = [serverCode, codeUnder(page, 'Routes'), down, bye].join('\n')
  await using server = await startModule('agent-server', code)
  const url = (await lineWith(server.lines, 'ready')).split(' ').at(-1) ?? ''
  const { port } = new URL(url)
  const clientCode = codeUnder(page, 'A client').replace(':3000/', `:${port}/`)
  await using client = await startModule('agent-client', clientCode)
  expect(await lineWith(client.lines, 'complete')).toBe('complete')

  const answers = []
  for (const [, path = '', body] of page.matchAll(/^curl \S+?:3000(\S+)(?: -d '([^']+)')?$/gm)) {
    const response = await fetch(`${url}${path}`, body === undefined ? {} : { method: 'POST', body })
    answers.push(await response.json())
  }
  expect(answers).toMatchObject([{ agent: 'helper', finishReason: 'stop' }, { connections: { total: 1 } }])

  const body = JSON.stringify({ text: 'A long text.' })
  const summary = await fetch(`${url}/api/summaries`, { method: 'POST', body })
  expect(await summary.json()).toEqual({ summary: expect.stringMatching(/\w/) })
  expect(await (await fetch(`${url}/api/stories/rain`)).text()).toMatch(/\w/)
  expect(await (await fetch(`${url}/api/sums/1/2`)).json()).toEqual({ sum: 3 })
  const { paths } = (await (await fetch(`${url}/api/openapi.json`)).json()) as { paths: object }
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/api/summaries', '/api/stories/{topic}']))
  expect((await fetch(`${url}/api/bye`, { method: 'POST' })).status).toBe(204)
  expect(await lineWith(server.lines, 'stopped')).toBe('stopped')
})

test('what the page puts on another server is there', async () => {
  const code = [
    "import { createGatewayServer } from '@turnpike/gateway/server'",
    serverCode.replace(/^.*server\.start.*$/m, ''),
    codeUnder(page, 'On another server'),
    "console.log('ready', await own.listen(0))",
  ].join('\n')
  await using server = await startModule('agent-server-mounted', code)
  const url = (await lineWith(server.lines, 'ready')).split(' ').at(-1) ?? ''
  const { port } = new URL(url)
  const clientCode = codeUnder(page, 'A client').replace(':3000/', `:${port}/`)
  await using client = await startModule('agent-client-mounted', clientCode)
  expect(await lineWith(client.lines, 'complete')).toBe('complete')
  for (const path of ['/v1/agents', '/health/websocket', '/agents', '/healthz']) {
    expect((await fetch(`${url}${path}`)).status).toBe(200)
  }
})
