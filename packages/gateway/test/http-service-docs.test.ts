import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { codeUnder, lineWith, startModule } from './documented-code.ts'

const page = await readFile(new URL('../../../docs/chat-json.md', import.meta.url), 'utf8')

test('the server, the client and the requests of the page run as they are', async () => {
  const serverCode = codeUnder(page, 'A server').replace('listen(3000', 'listen(0')
  await using server = await startModule('chat-server', serverCode)
  const url = (await lineWith(server.lines, 'ready')).split(' ').at(-1) ?? ''
  const { port } = new URL(url)
  await using client = await startModule(
    'chat-client',
    codeUnder(page, 'A client').replace(':3000/', `:${port}/`),
  )
  expect(await lineWith(client.lines, 'done: ')).toMatch(/^done: \w/)

  const requests = page.matchAll(
    /^curl (?:-N )?\S+?:3000(\S+)(?: -H '([^']+): ([^']+)')?(?: -d '([^']+)')?$/gm,
  )
  const answers = []
  for (const [, path = '', name, value = '', body] of requests) {
    const headers = name === undefined ? {} : { [name]: value }
    const response = await fetch(`${url}${path}`, body === undefined ? {} : { method: 'POST', headers, body })
    answers.push(await response.text())
  }
  expect(answers).toEqual([
    expect.stringContaining('"finishReason":"stop"'),
    expect.stringContaining('data: {"type":"done"'),
    expect.stringContaining('"sessionId":"s1"'),
  ])
})
