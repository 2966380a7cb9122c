import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { codeUnder, lineWith, startModule } from './documented-code.ts'

const page = await readFile(new URL('../../../docs/connection-manager.md', import.meta.url), 'utf8')

test('the server and the client of the page run as they are', async () => {
  const serverCode = codeUnder(page, 'A server')
    .replace('@turnpike/gateway/manager', '../src/manager/index.ts')
    .replace('listen(3000', 'listen(0')
    .replace("console.log('ready')", "console.log('ready', server.address()?.port)")
  await using server = await startModule('manager-server', serverCode)
  const port = (await lineWith(server.lines, 'ready')).split(' ').at(-1)
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
