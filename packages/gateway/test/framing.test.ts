import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bytesOf } from '@turnpike/gateway'
import { sseFraming } from '../src/transports/sse.ts'
import { websocketFraming } from '../src/transports/websocket-framing.ts'

/** Lengths around every border of RFC 6455's length field, in text that takes one to four bytes a character. */
const LENGTHS = [0, 1, 124, 125, 126, 127, 4_095, 4_096, 4_097, 65_534, 65_535, 65_536, 65_537, 200_000]

const END = JSON.stringify('the end')
let server: Server
let client: WebSocket
let socket: Duplex

beforeAll(async () => {
  server = createServer()
  const upgraded = Promise.withResolvers<void>()
  server.on('upgrade', (request, upgrade, head) => {
    new WebSocketServer({ noServer: true }).handleUpgrade(request, upgrade, head, () => upgraded.resolve())
    socket = upgrade
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  client.on('error', (error) => expect.fail(error.message))
  await upgraded.promise
})

afterAll(() => {
  client.terminate()
  server.close()
})

/** Writes bytes to the socket as they are and gives what a stock client reads, up to an end mark. */
async function readBack(bytes: Uint8Array): Promise<string[]> {
  const texts: string[] = []
  const done = Promise.withResolvers<string[]>()
  const onMessage = (data: Buffer): void => {
    if (data.toString() === END) done.resolve(texts)
    else texts.push(data.toString())
  }
  client.on('message', onMessage)
  socket.write(bytes)
  socket.write(bytesOf(websocketFraming, [{ name: 'end', json: END }]))
  await done.promise
  client.off('message', onMessage)
  return texts
}

test('frames of every length and alphabet read back as they were', async () => {
  for (const length of LENGTHS) {
    for (const letter of ['x', 'é', '€', '😀']) {
      const json = letter.repeat(length)
      expect(await readBack(bytesOf(websocketFraming, [{ name: 'n', json }]))).toEqual([json])
    }
  }
})

test('many frames written as one read back one by one', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme', maxLength: 300 })), async (texts) => {
      const frames = texts.map((json) => ({ name: 'n', json }))
      expect(await readBack(bytesOf(websocketFraming, frames))).toEqual(texts)
    }),
  )
})

test('an event stream block carries id, name and data', () => {
  const bytes = bytesOf(sseFraming, [{ name: 'text-delta', id: '1-2', json: '{"delta":"é\\n"}' }])
  expect(Buffer.from(bytes).toString()).toBe('id: 1-2\nevent: text-delta\ndata: {"delta":"é\\n"}\n\n')
})
