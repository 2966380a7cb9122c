import { Receiver } from 'ws'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOf } from '@turnpike/gateway'
import { sseFraming } from '../src/transports/sse.ts'
import { websocketFraming } from '../src/transports/websocket-framing.ts'

/** Lengths around every border of RFC 6455's length field, in text that takes one to four bytes a character. */
const LENGTHS = [0, 1, 124, 125, 126, 127, 4_095, 4_096, 4_097, 65_534, 65_535, 65_536, 65_537, 200_000]

async function readBack(bytes: Uint8Array): Promise<string[]> {
  const texts: string[] = []
  const receiver = new Receiver({ isServer: false })
  receiver.on('message', (data: Buffer) => texts.push(data.toString()))
  receiver.on('error', (error: Error) => expect.fail(error.message))
  receiver.write(Buffer.from(bytes))
  await new Promise((resolve) => receiver.end(resolve))
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
