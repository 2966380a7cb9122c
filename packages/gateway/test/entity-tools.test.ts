import { GatewayError } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { TestPeer, entityMachine, toolInfo } from './entity-machine.ts'

const failure = new GatewayError('tool-failed', 'No such order.')

test('a call is sent to its entity with what it is about, and answered by it', async () => {
  const { machine, call } = entityMachine()
  const shop = new TestPeer()
  expect(machine.register(shop, 'shop', [toolInfo('status'), toolInfo('refund')])).toBe(2)
  const answer = call('shop.status')
  const [callId = ''] = shop.callIds
  const about = { toolCallId: 'c', runId: 'r', threadId: 't', user: 'u' }
  expect(shop.sent).toEqual([
    { name: 'tool.call', payload: { callId, tool: 'status', args: { a: 1 }, ...about } },
  ])
  machine.settle(shop, callId, { result: { shipped: true } })
  await expect(answer).resolves.toEqual({ shipped: true })
  const second = call('shop.refund')
  machine.settle(shop, shop.callIds[1] ?? '', { error: failure })
  await expect(second).rejects.toBe(failure)
})

test('a list of tools takes the place of the one before', () => {
  const { machine } = entityMachine()
  const shop = new TestPeer()
  machine.register(shop, 'shop', [toolInfo('status')])
  machine.register(shop, 'shop', [toolInfo('refund')])
  expect(machine.list(['*.*']).map(({ name }) => name)).toEqual(['refund'])
  machine.register(shop, 'shop', [])
  expect(machine.list(['*.*'])).toEqual([])
})

test('tools are listed in one order, whoever came first', () => {
  const { machine } = entityMachine()
  machine.register(new TestPeer(), 'b', [toolInfo('y'), toolInfo('x')])
  machine.register(new TestPeer(), 'a', [toolInfo('z')])
  expect(machine.list(['*.*']).map(({ entity, name }) => entity + name)).toEqual(['az', 'bx', 'by'])
  expect(machine.list(['b.x', '*.x']).map(({ entity, name }) => entity + name)).toEqual(['bx'])
  expect(machine.list([])).toEqual([])
})

test('what another connection says of a call is ignored', async () => {
  const { machine, call } = entityMachine()
  const [shop, other, stranger] = [new TestPeer(), new TestPeer(), new TestPeer()]
  machine.register(shop, 'shop', [toolInfo('status')])
  machine.register(other, 'other', [toolInfo('status')])
  const answer = call('shop.status')
  const [callId = ''] = shop.callIds
  for (const peer of [other, stranger]) {
    expect(() => machine.settle(peer, callId, { result: 'forged' })).toThrow(
      expect.objectContaining({ code: 'unknown-call' }),
    )
  }
  machine.settle(shop, callId, { result: 'true' })
  await expect(answer).resolves.toBe('true')
  expect(() => machine.settle(shop, callId, { result: 'again' })).toThrow('Nobody waits')
  expect(() => machine.settle(shop, 'made up', { result: 1 })).toThrow('Nobody waits')
})

test('an entity that leaves takes its tools along, and its calls end', async () => {
  const { machine, call, wheel } = entityMachine()
  const shop = new TestPeer()
  machine.register(shop, 'shop', [toolInfo('status')])
  const [listed] = machine.list(['shop.*'])
  const answer = call('shop.status')
  machine.leave(shop)
  await expect(answer).rejects.toMatchObject({ code: 'entity-gone' })
  expect(machine.list(['*.*'])).toEqual([])
  const { signal } = new AbortController()
  const caller = { toolCallId: 'c', runId: 'r', threadId: 't', user: 'u', signal }
  await expect(listed?.call({}, caller)).rejects.toMatchObject({ code: 'entity-gone' })
  expect(wheel.size).toBe(0)
})

test('a tool that was listed is called on the connection that the entity has now', async () => {
  const { machine } = entityMachine()
  const [before, after] = [new TestPeer(), new TestPeer()]
  machine.register(before, 'shop', [toolInfo('status')])
  const [listed] = machine.list(['shop.*'])
  machine.leave(before)
  machine.register(after, 'shop', [toolInfo('status')])
  const { signal } = new AbortController()
  const answer = listed?.call({}, { toolCallId: 'c', runId: 'r', threadId: 't', user: 'u', signal })
  machine.settle(after, after.callIds[0] ?? '', { result: 'here' })
  await expect(answer).resolves.toBe('here')
})

test('a newer connection of an entity takes over from the older one, which is told and closed', async () => {
  const { machine, call } = entityMachine()
  const [older, newer] = [new TestPeer(), new TestPeer()]
  machine.register(older, 'shop', [toolInfo('status')])
  const lost = call('shop.status')
  machine.register(newer, 'shop', [toolInfo('status')])
  await expect(lost).rejects.toMatchObject({ code: 'entity-gone' })
  expect(older.closedWith).toMatchObject({ code: 'entity-replaced', row: { close: 4409, retry: 'never' } })
  // Its end is nobody else's.
  machine.leave(older)
  const answer = call('shop.status')
  expect(() => machine.settle(older, newer.callIds[0] ?? '', { result: 1 })).toThrow('Nobody waits')
  machine.settle(newer, newer.callIds[0] ?? '', { result: 2 })
  await expect(answer).resolves.toBe(2)
})

test('an entity that does not answer in time is told to stop', async () => {
  const { machine, call, wheel } = entityMachine({ entityCallMs: 500, entitySilenceMs: 0 })
  const shop = new TestPeer()
  machine.register(shop, 'shop', [toolInfo('status')])
  const late = call('shop.status')
  wheel.pass(499)
  expect(shop.cancelled).toEqual([])
  wheel.pass(1)
  await expect(late).rejects.toMatchObject({ code: 'tool-timeout' })
  expect(shop.cancelled).toEqual(shop.callIds)
  expect(() => machine.settle(shop, shop.callIds[0] ?? '', { result: 1 })).toThrow('Nobody waits')
})

test('a run that stops tells the entity, and drops the result', async () => {
  const { machine, call, wheel } = entityMachine({ entitySilenceMs: 0 })
  const shop = new TestPeer()
  machine.register(shop, 'shop', [toolInfo('status')])
  const abort = new AbortController()
  const stopped = call('shop.status', abort.signal)
  abort.abort()
  await expect(stopped).rejects.toMatchObject({ code: 'cancelled' })
  expect(shop.cancelled).toEqual(shop.callIds)
  await expect(call('shop.status', abort.signal)).rejects.toThrow('aborted')
  expect(shop.callIds).toHaveLength(1)
  expect(wheel.size).toBe(0)
})

test('a silent entity is gone; whatever it says is a sign of life', async () => {
  const { machine, call, wheel } = entityMachine({ entitySilenceMs: 1_000, entityCallMs: 10_000 })
  const shop = new TestPeer()
  machine.register(shop, 'shop', [toolInfo('status')])
  const answer = call('shop.status')
  const signs = [
    () => machine.heard(shop),
    () => machine.register(shop, 'shop', [toolInfo('status')]),
    () => expect(() => machine.settle(shop, 'none', { result: 1 })).toThrow('Nobody waits'),
  ]
  for (const sign of signs) {
    wheel.pass(999)
    sign()
  }
  expect(shop.closedWith).toBeUndefined()
  wheel.pass(1_000)
  expect(shop.closedWith).toMatchObject({ code: 'connection-closed' })
  await expect(answer).rejects.toMatchObject({ code: 'entity-gone' })
  expect(machine.size).toBe(0)
})

test('a storm of registrations is refused, over however many connections it comes', () => {
  const { machine } = entityMachine({ registrationsPerMinute: 3 })
  for (let i = 0; i < 3; i++) {
    const peer = new TestPeer()
    machine.register(peer, 'shop', [toolInfo(`t${i}`)])
    machine.leave(peer)
  }
  const refused = expect.objectContaining({ code: 'rate-limited', retryAfterMs: 20_000 })
  expect(() => machine.register(new TestPeer(), 'shop', [toolInfo('t')])).toThrow(refused)
  expect(machine.list(['*.*'])).toEqual([])
  machine.register(new TestPeer(), 'other', [toolInfo('t')])
})

test('who is called whatever it says is limited together with all others of its kind', () => {
  const { machine } = entityMachine({ anonymousRegistrationsPerMinute: 3, registrationsPerMinute: 2 })
  machine.registerAnonymous(new TestPeer(), 'a', [toolInfo('t')])
  machine.registerAnonymous(new TestPeer(), 'a', [toolInfo('t')])
  const noisy = expect.objectContaining({ code: 'rate-limited', retryAfterMs: 30_000 })
  expect(() => machine.registerAnonymous(new TestPeer(), 'a', [])).toThrow(noisy)
  machine.registerAnonymous(new TestPeer(), 'b', [toolInfo('t')])
  const refused = expect.objectContaining({ code: 'rate-limited', retryAfterMs: 20_000 })
  expect(() => machine.registerAnonymous(new TestPeer(), 'c', [])).toThrow(refused)
  machine.register(new TestPeer(), 'somebody', [toolInfo('t')])
  expect(machine.size).toBe(3)
})

test('an entity has so many subschemas in all of its tools', () => {
  const { machine } = entityMachine({ entitySubschemas: 6 })
  const three = { parameters: { properties: { a: {}, b: true } } }
  const shop = new TestPeer()
  expect(machine.register(shop, 'shop', [toolInfo('a', three), toolInfo('b', three)])).toBe(2)
  const more = [toolInfo('a', three), toolInfo('b', three), toolInfo('c')]
  const refused = expect.objectContaining({
    code: 'invalid-payload',
    message: expect.stringContaining('6 subschemas'),
  })
  expect(() => machine.register(shop, 'shop', more)).toThrow(refused)
  expect(machine.list(['*.*'])).toHaveLength(2)
})

test('a list that costs more than it may is refused at its first tool', () => {
  const { machine } = entityMachine()
  const properties = Object.fromEntries(Array.from({ length: 3_300 }, (_, i) => [i.toString(36), {}]))
  const tools = Array.from({ length: 8 }, (_, i) => toolInfo(`t${i}`, { parameters: { properties } }))
  const message = expect.stringContaining(
    '"t0": This is no JSON Schema of a tool: it has at most 1000 subschemas',
  )
  expect(() => machine.register(new TestPeer(), 'shop', tools)).toThrow(expect.objectContaining({ message }))
})

test('a refused list leaves the one before', () => {
  const { machine } = entityMachine({ entityTools: 2 })
  const shop = new TestPeer()
  machine.register(shop, 'shop', [toolInfo('status')])
  expect(() => machine.register(shop, 'shop', [toolInfo('a'), toolInfo('a')])).toThrow('two tools "a"')
  expect(machine.list(['*.*']).map(({ name }) => name)).toEqual(['status'])
})

test.each([
  ['too many tools', [toolInfo('a'), toolInfo('b'), toolInfo('c')], 'may have 2 tools'],
  ['too many characters', [toolInfo('a', { description: 'a'.repeat(400) })], '400 characters'],
  ['a schema that is none', [toolInfo('a', { parameters: { type: 'thing' } })], '"a"'],
  ['a schema of something else', [toolInfo('a', { parameters: { type: 'string' } })], 'object'],
])('%s are refused', (_what, tools, why) => {
  const { machine } = entityMachine({ entityTools: 2, entityToolChars: 400 })
  const refused = expect.objectContaining({ code: 'invalid-payload', message: expect.stringContaining(why) })
  expect(() => machine.register(new TestPeer(), 'shop', tools)).toThrow(refused)
  expect(machine.size).toBe(0)
})

test('an entity works on so many calls, and is not sent what it does not take', async () => {
  const { machine, call } = entityMachine({ entityCalls: 2 })
  const shop = new TestPeer()
  machine.register(shop, 'shop', [toolInfo('status')])
  const first = call('shop.status')
  const second = call('shop.status')
  await expect(call('shop.status')).rejects.toMatchObject({ code: 'tool-failed' })
  for (const callId of shop.callIds) machine.settle(shop, callId, { result: callId })
  await Promise.all([first, second])
  shop.bufferedBytes = 262_144
  await expect(call('shop.status')).rejects.toMatchObject({ code: 'tool-failed' })
  expect(shop.callIds).toHaveLength(2)
})

test('there are so many entities', () => {
  const { machine } = entityMachine({ entities: 2 })
  const [a, b] = [new TestPeer(), new TestPeer()]
  machine.register(a, 'a', [])
  machine.register(b, 'b', [])
  expect(() => machine.register(new TestPeer(), 'c', [])).toThrow(
    expect.objectContaining({ code: 'too-many-connections' }),
  )
  machine.register(new TestPeer(), 'b', [])
  expect(b.closedWith).toBeDefined()
  machine.leave(a)
  machine.register(new TestPeer(), 'c', [])
})
