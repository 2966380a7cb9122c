import { expect, test, vi } from 'vitest'
import { closeFrame, frame, framesIn, rawSocket, serveManager } from './manager-server.ts'

const KIB = 1_024
const PING = 9
const PONG = 10
const CLOSE = 8

/** What is sent, and what a manager whose handler echoes answers to it, up to the end. `end`: a close with 1000. */
type Case = readonly [title: string, sent: readonly Buffer[], answered: readonly string[]]

const end = closeFrame(1_000)
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

const CASES: readonly Case[] = [
  ['a text message', [frame({ payload: 'hi' }), end], ['text:hi', 'close:1000']],
  ['a binary message', [frame({ opcode: 2, payload: 'hi' }), end], ['binary:hi', 'close:1000']],
  ['an empty message', [frame(), end], ['text:', 'close:1000']],
  ['125 bytes', [frame({ payload: 'x'.repeat(125) }), end], ['text:125', 'close:1000']],
  ['126 bytes', [frame({ payload: 'x'.repeat(126) }), end], ['text:126', 'close:1000']],
  ['65,535 bytes', [frame({ payload: 'x'.repeat(65_535) }), end], ['text:65535', 'close:1000']],
  ['65,536 bytes', [frame({ payload: 'x'.repeat(65_536) }), end], ['text:65536', 'close:1000']],
  [
    'a short message with a long length',
    [frame({ payload: 'hi', lengthBytes: 8 }), end],
    ['text:hi', 'close:1000'],
  ],
  ['as much as is allowed', [frame({ payload: 'x'.repeat(100 * KIB) }), end], ['text:102400', 'close:1000']],
  ['one byte more', [frame({ payload: 'x'.repeat(100 * KIB + 1) })], ['close:1009']],
  ['the head of far more', [frame({ payload: 'x', length: 2n ** 40n })], ['close:1009']],
  ['a length that no number holds', [frame({ length: 2n ** 63n + 1n, lengthBytes: 8 })], ['close:1009']],
  [
    'more than is allowed, in fragments',
    [
      frame({ fin: false, payload: 'x'.repeat(60 * KIB) }),
      frame({ opcode: 0, payload: 'x'.repeat(60 * KIB) }),
    ],
    ['close:1009'],
  ],
  [
    'fragments',
    [
      frame({ fin: false, payload: 'a' }),
      frame({ fin: false, opcode: 0, payload: 'b' }),
      frame({ opcode: 0, payload: 'c' }),
      end,
    ],
    ['text:abc', 'close:1000'],
  ],
  [
    'a character cut in two by fragments',
    [frame({ fin: false, payload: bytes(0xc3) }), frame({ opcode: 0, payload: bytes(0xbc) }), end],
    ['text:ü', 'close:1000'],
  ],
  [
    'a ping between fragments',
    [
      frame({ fin: false, payload: 'a' }),
      frame({ opcode: PING, payload: 'p' }),
      frame({ opcode: 0, payload: 'b' }),
      end,
    ],
    ['pong:p', 'text:ab', 'close:1000'],
  ],
  ['a message between fragments', [frame({ fin: false }), frame({ payload: 'b' })], ['close:1002']],
  ['a fragment of nothing', [frame({ opcode: 0, payload: 'a' })], ['close:1002']],
  [
    'more fragments than are allowed',
    [
      frame({ fin: false }),
      ...Array.from({ length: 1_024 }, () => frame({ fin: false, opcode: 0, payload: 'x' })),
    ],
    ['close:1008'],
  ],
  ['a close between fragments', [frame({ fin: false, payload: 'a' }), end], ['close:1000']],
  ['a ping', [frame({ opcode: PING, payload: 'p' }), end], ['pong:p', 'close:1000']],
  [
    'a ping with as much as fits',
    [frame({ opcode: PING, payload: 'x'.repeat(125) }), end],
    ['pong:125', 'close:1000'],
  ],
  ['a ping with one byte more', [frame({ opcode: PING, payload: 'x'.repeat(126) })], ['close:1002']],
  ['a ping in fragments', [frame({ opcode: PING, fin: false })], ['close:1002']],
  ['a pong that nobody asked for', [frame({ opcode: PONG, payload: 'p' }), end], ['close:1000']],
  ['a frame without a mask', [frame({ payload: 'hi', masked: false })], ['close:1002']],
  ['the first reserved bit', [frame({ rsv: 4, payload: 'hi' })], ['close:1002']],
  ['the other reserved bits', [frame({ rsv: 3, payload: 'hi' })], ['close:1002']],
  ['a reserved opcode', [frame({ opcode: 3, payload: 'hi' })], ['close:1002']],
  ['a reserved control opcode', [frame({ opcode: 11 })], ['close:1002']],
  ['text that is no UTF-8', [frame({ payload: bytes(0xff, 0xfe) })], ['close:1007']],
  ['text that is cut in a character', [frame({ payload: bytes(0xe2, 0x82) })], ['close:1007']],
  ['a surrogate as UTF-8', [frame({ payload: bytes(0xed, 0xa0, 0x80) })], ['close:1007']],
  [
    'bytes that are no UTF-8',
    [frame({ opcode: 2, payload: bytes(0x2a, 0) }), end],
    ['binary:*\u0000', 'close:1000'],
  ],
  ['a close without a code', [frame({ opcode: CLOSE })], ['close']],
  ['a close with a code of ours', [closeFrame(4_321, 'why')], ['close:4321']],
  ['a close with half a code', [frame({ opcode: CLOSE, payload: bytes(3) })], ['close:1002']],
  ['a close with a code that is never sent', [closeFrame(1_005)], ['close:1002']],
  ['a close with a code that is none', [closeFrame(999)], ['close:1002']],
  ['a close whose reason is no UTF-8', [closeFrame(1_000, bytes(0xff))], ['close:1007']],
  ['a close that is too long', [closeFrame(1_000, 'x'.repeat(124))], ['close:1002']],
  ['a message behind a close', [end, frame({ payload: 'late' })], ['close:1000']],
]

const byteByByte = (sent: readonly Buffer[]): Buffer[] =>
  [...Buffer.concat(sent)].map((byte) => Buffer.from([byte]))

async function answerTo(chunks: readonly Buffer[]): Promise<readonly string[]> {
  await using server = await serveManager({ maxMessageSize: 100 * KIB })
  const { manager } = server
  manager.registerHandler('/echo', {
    onMessage: ({ id }, { data }) => void manager.send(id, data),
    onError: () => {},
  })
  const { socket, ended } = await rawSocket(server.port, { path: '/echo' })
  for (const chunk of chunks) {
    if (socket.destroyed || socket.writableEnded) break
    socket.write(chunk)
    // Each chunk is a read of its own.
    await new Promise(setImmediate)
  }
  const frames = framesIn(await ended)
  await vi.waitFor(() => expect(manager.getConnectionCount()).toBe(0), { interval: 5 })
  return frames
}

test.each(CASES)('%s, frame by frame and all at once', async (_title, sent, answered) => {
  expect(await answerTo(sent)).toEqual(answered)
  expect(await answerTo([Buffer.concat(sent)])).toEqual(answered)
})

const SHORT = CASES.filter(([, sent]) => Buffer.concat(sent).length < 600)

test.each(SHORT)('%s, byte by byte', async (_title, sent, answered) => {
  expect(await answerTo(byteByByte(sent))).toEqual(answered)
})

test('what the parser refuses reaches onError with the connection it is of', async () => {
  await using server = await serveManager({ maxMessageSize: 10 })
  for (const [wrong, message, code] of [
    [frame({ payload: 'x'.repeat(11) }), 'Message exceeds max size (10 bytes)', 'payload-too-large'],
    [frame({ payload: 'x', masked: false }), expect.stringContaining('MASK'), 'invalid-frame'],
  ] as const) {
    const { socket, ended } = await rawSocket(server.port)
    const { connection } = await server.told.next()
    socket.write(wrong)
    expect(await server.told.next()).toMatchObject({
      what: 'error',
      data: { name: 'WebSocketError', message, code, connectionId: connection.id },
    })
    expect(await server.told.next()).toMatchObject({ what: 'close', data: { code: 1_006 } })
    await ended
  }
})

test('nobody else notices', async () => {
  await using server = await serveManager()
  const healthy = await rawSocket(server.port)
  await server.told.next()
  for (const [, sent] of CASES) {
    const { socket, ended } = await rawSocket(server.port)
    for (const chunk of sent) socket.write(chunk)
    socket.end()
    await ended
  }
  healthy.socket.write(frame({ payload: 'still here' }))
  await server.told.until(({ data }) => data === 'still here')
  healthy.socket.destroy()
})
