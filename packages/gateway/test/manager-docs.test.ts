import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { codeUnder, lineWith, startModule } from './documented-code.ts'

const page = await readFile(new URL('../../../docs/connection-manager.md', import.meta.url), 'utf8')

/** Starts a server of the page on a free port. */
async function startServer(heading: string): Promise<{ port: string } & AsyncDisposable> {
  const code = codeUnder(page, heading)
    .replace('@turnpike/gateway/manager', '../src/manager/index.ts')
    .replace('listen(3000', 'listen(0')
    .replace("console.log('ready')", "console.log('ready', server.address()?.port)")
  const server = await startModule(`manager-${heading.replaceAll(' ', '-')}`, code)
  const port = (await lineWith(server.lines, 'ready')).split(' ').at(-1) ?? ''
  return { ...server, port, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

test('the server and the client of the page run as they are', async () => {
  await using server = await startServer('A server')
  const { port } = server
  const clientCode = codeUnder(page, 'A client').replace(':3000/', `:${port}/`)
  await using client = await startModule('manager-client', clientCode)
  for (const payload of [1, 2, 3]) {
    expect(JSON.parse(await lineWith(client.lines, `"payload":${payload}`))).toEqual({
      type: 'count',
      payload,
      id: 1,
    })
  }
  await using other = await startModule('manager-stranger', clientCode.replace('k-1', 'k-2'))
  expect(await lineWith(other.lines, 'closed')).toBe('closed 4401 unauthorized')
})

test('so do the agents, and their client', async () => {
  await using server = await startServer('Agents')
  const code = codeUnder(page, 'A client of agents').replace(':3000/', `:${server.port}/`)
  await using client = await startModule('manager-agents-client', code)
  expect(await lineWith(client.lines, 'chunk')).toMatch(/^1 chunk ./)
  expect(await lineWith(client.lines, 'stream_complete')).toContain('1 stream_complete')
  expect(await lineWith(client.lines, 'response')).toMatch(/^2 response ./)
})
