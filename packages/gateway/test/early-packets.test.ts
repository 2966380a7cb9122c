import { LIMITS } from '@turnpike/protocol'
import { describe, expect, test } from 'vitest'
import { EarlyPackets } from '../src/transports/early-packets.ts'

type Packet = string | Buffer | undefined

/** What reaches Socket.IO of a connection, which serves all but `/app`. */
function connection(limits = {}): { early: EarlyPackets; delivered: Packet[]; overflows: () => number } {
  const delivered: Packet[] = []
  let overflows = 0
  const early = new EarlyPackets({
    deliver: (packet) => delivered.push(packet),
    limits: { ...LIMITS, ...limits },
    isServed: (namespace) => namespace !== '/app',
    overflow: () => overflows++,
  })
  return { early, delivered, overflows: () => overflows }
}

const attached = Buffer.from('attached')
/** Socket.IO has joined a namespace a turn after its answer. */
const joined = (): Promise<void> => Promise.resolve()

test('a message without anything in it passes as it is', () => {
  const { early, delivered } = connection()
  for (const packet of ['0', undefined, '2["held"]']) early.take(packet)
  expect(delivered).toEqual(['0', undefined])
})

test('what waits follows once its namespace is joined, in order, each namespace for its own', async () => {
  const { early, delivered } = connection()
  for (const packet of ['0', '2["a"]', '0/x,', '2/x,["b"]', '2["c"]', '2/y,["d"]']) early.take(packet)
  expect(delivered).toEqual(['0', '0/x,', '2/y,["d"]'])
  early.sent('0/x,{"sid":"1"}')
  await joined()
  expect(delivered.splice(0)).toEqual(['0', '0/x,', '2/y,["d"]', '2/x,["b"]'])
  early.sent('0{"sid":"2"}')
  await joined()
  expect(delivered).toEqual(['2["a"]', '2["c"]'])
})

describe('an event whose attachments are still to come', () => {
  test('is followed by them, then by what has become due', async () => {
    const { early, delivered } = connection()
    for (const packet of ['0/x,', '2/x,["held"]', '52-["other",{"_placeholder":true}]', attached]) {
      early.take(packet)
    }
    delivered.splice(0)
    early.sent('0/x,{"sid":"1"}')
    await joined()
    expect(delivered).toEqual([])
    early.take(attached)
    expect(delivered).toEqual([attached, '2/x,["held"]'])
  })

  test('may be held itself', async () => {
    const { early, delivered } = connection()
    for (const packet of ['0/x,', '0/y,', '2/y,["y"]', '51-/x,["x"]']) early.take(packet)
    delivered.splice(0)
    early.sent('0/x,{"sid":"1"}')
    early.sent('0/y,{"sid":"2"}')
    await joined()
    expect(delivered).toEqual(['51-/x,["x"]'])
    early.take(attached)
    expect(delivered).toEqual(['51-/x,["x"]', attached, '2/y,["y"]'])
  })

  test('costs nothing while they do not come, and is forgotten with the connection', async () => {
    const { early, delivered } = connection()
    for (const packet of ['0/x,', '2/x,["held"]', '51-["never"]']) early.take(packet)
    delivered.splice(0)
    const scheduled = process.getActiveResourcesInfo().filter((each) => each === 'Immediate').length
    early.sent('0/x,{"sid":"1"}')
    await joined()
    expect(process.getActiveResourcesInfo().filter((each) => each === 'Immediate')).toHaveLength(scheduled)
    early.close()
    early.take(attached)
    early.take('2/x,["late"]')
    expect(delivered).toEqual([])
  })
})

describe('connects', () => {
  test('to a namespace that is being joined close the connection', () => {
    const { early, delivered, overflows } = connection()
    for (const packet of ['0', '0', '0', '2["x"]']) early.take(packet)
    expect(delivered).toEqual(['0'])
    expect(overflows()).toBe(1)
  })

  test.each(['', ' ', '\n', '\t{}', '0{}'])('may be spelled %j', (packet) => {
    const { early, delivered, overflows } = connection()
    early.take('0')
    early.take(packet)
    expect(delivered).toEqual(['0'])
    expect(overflows()).toBe(1)
  })

  test('may come again once they are refused', () => {
    const { early, delivered, overflows } = connection()
    early.take('0/x,')
    early.take('2/x,["in vain"]')
    early.sent('4/x,{"message":"no"}')
    early.take('0/x,')
    expect(delivered).toEqual(['0/x,', '0/x,'])
    expect(overflows()).toBe(0)
  })

  test('count with what waits, in number and in bytes, until they are answered', () => {
    const many = connection({ earlyFrames: 3 })
    for (const packet of ['0/a,', '2/a,["x"]', '0/b,']) many.early.take(packet)
    expect(many.overflows()).toBe(0)
    many.early.take('0/c,')
    expect(many.overflows()).toBe(1)
    expect(many.delivered).toEqual(['0/a,', '0/b,'])
    const long = connection({ earlyBytes: 100 })
    long.early.take(`0/a,{"p":"${'x'.repeat(60)}"}`)
    long.early.sent('4/a,{"message":"no"}')
    long.early.take(`0/b,{"p":"${'x'.repeat(60)}"}`)
    expect(long.overflows()).toBe(0)
    long.early.take(`0/c,{"p":"${'x'.repeat(60)}"}`)
    expect(long.overflows()).toBe(1)
    expect(long.delivered).toHaveLength(2)
  })

  test('come so often in a minute, and no more', () => {
    const { early, delivered, overflows } = connection({ joinsPerMinute: 3 })
    for (let n = 0; n < 4; n++) {
      early.take('0/x,')
      early.sent('4/x,{"message":"no"}')
    }
    expect(delivered).toHaveLength(3)
    expect(overflows()).toBe(1)
  })

  test('to namespaces of the app are none of this', () => {
    const { early, delivered, overflows } = connection({ earlyFrames: 1, joinsPerMinute: 1 })
    for (let n = 0; n < 9; n++) early.take('0/app,')
    early.take('2/app,["x"]')
    expect(delivered).toHaveLength(10)
    expect(overflows()).toBe(0)
  })
})
