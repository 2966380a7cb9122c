import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { codeUnder, lineWith, startModule } from './documented-code.ts'

const page = await readFile(new URL('../../../docs/agent-gateway.md', import.meta.url), 'utf8')

test('the server and the client of the page run as they are, and are as short as it says', async () => {
  const [serverCode, clientCode] = [codeUnder(page, 'A server'), codeUnder(page, 'A client')]
  const linesOf = (code: string): number => code.split('\n').filter((line) => line.trim() !== '').length
  expect(linesOf(serverCode)).toBeLessThanOrEqual(10)
  expect(linesOf(clientCode)).toBeLessThanOrEqual(15)

  const listening = "console.log('ready', server.address()?.port)"
  await using server = await startModule(
    'server',
    serverCode.replace('listen(3000', 'listen(0').replace("console.log('ready')", listening),
  )
  const port = (await lineWith(server.lines, 'ready')).split(' ').at(-1)
  await using client = await startModule('client', clientCode.replace(':3000/', `:${port}/`))
  expect(await lineWith(client.lines, 'done: ')).toMatch(/^done: \w/)
})
