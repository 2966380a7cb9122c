import { ANONYMOUS } from '@turnpike/gateway'
import { countingAgent, puppetAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { serveChat } from './chat-server.ts'

const DEEP = `{"type":"chat","message":${'['.repeat(100)}${']'.repeat(100)}}`

describe('a frame that is wrong', () => {
  test.each([
    ['not JSON', 'invalid-frame'],
    ['', 'invalid-frame'],
    ['null', 'invalid-frame'],
    ['[]', 'invalid-frame'],
    ['{}', 'invalid-frame'],
    ['{"type":7}', 'invalid-frame'],
    ['{"type":["chat"],"message":"hi"}', 'invalid-frame'],
    ['{"type":"nothing"}', 'unknown-command'],
    ['{"type":"__proto__"}', 'unknown-command'],
    ['{"type":"thread.send","message":"hi"}', 'unknown-command'],
    ['{"type":"chat"}', 'invalid-payload'],
    ['{"type":"chat","message":""}', 'invalid-payload'],
    ['{"type":"chat","message":{"parts":[]}}', 'invalid-payload'],
    ['{"type":"chat","message":"hi","sessionId":{}}', 'invalid-payload'],
    ['{"type":"chat","message":"hi","agent":"nobody"}', 'unknown-agent'],
    ['{"type":"chat","message":"hi","agent":"constructor"}', 'unknown-agent'],
    ['{"type":"cancel"}', 'invalid-payload'],
    ['{"type":"cancel","runId":"nobody"}', 'unknown-run'],
    ['{"type":"approve","approvalId":"nobody","approved":true}', 'unknown-approval'],
    [DEEP, 'too-deep'],
    [Buffer.from([1, 2, 3]), 'invalid-frame'],
  ])('such as %s is told as an error, and the connection lives', async (frame, code) => {
    await using service = await serveChat({ counter: countingAgent() })
    const client = await service.connect()
    client.socket.send(frame)
    client.chat('2')
    await client.next('done')
    expect(client.all('error')).toEqual([
      expect.objectContaining({ type: 'error', code, message: expect.stringMatching(/^\S/) }),
    ])
    expect(client.told[0]?.type).toBe('error')
  })

  test('is told with its run, where it has one', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    const client = await service.connect()
    client.send({ type: 'chat', message: '', runId: 'r1' })
    client.send({ type: 'chat', message: '', runId: { toString: 'r2' } })
    const [first, second] = await client.atLeast(2, 'error')
    expect(first).toHaveProperty('runId', 'r1')
    expect(second).not.toHaveProperty('runId')
  })

  test('does not name a run twice: another chat of the same id is refused, and the first goes on', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const client = await service.connect()
    client.chat('one', { runId: 'r1' })
    const run = await agent.nextRun()
    client.chat('another', { runId: 'r1' })
    expect(await client.next('error', 'r1')).toMatchObject({ code: 'run-id-conflict' })
    run.end()
    await client.next('done', 'r1')
  })

  test.each([
    ['too large', 1009, (send: (frame: Buffer | string) => void) => send('x'.repeat(3_000))],
    ['text that is not UTF-8', 1007, undefined],
  ] as const)('that is %s closes its own connection with %i, and no other', async (...[, close, attack]) => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent }, { limits: { frameBytes: 2_000 } })
    const [healthy, hostile] = [await service.connect(), await service.connect()]
    healthy.chat('hi', { runId: 'r1' })
    const run = await agent.nextRun()
    if (attack) attack((frame) => hostile.socket.send(frame))
    // The library takes a buffer for text where it is told to.
    else hostile.socket.send(Buffer.from([0xff, 0xfe]), { binary: false })
    expect(await hostile.closed).toBe(close)
    await run.say('All is well.')
    run.end()
    expect(await healthy.next('done', 'r1')).toMatchObject({ text: 'All is well.' })
  })
})

test('who sends too fast is told when to come again, and is cut where that does not help', async () => {
  await using service = await serveChat(
    { counter: countingAgent() },
    { limits: { framesPerSecond: 1, frameBurst: 2, refusedFrames: 3 } },
  )
  const client = await service.connect()
  for (let n = 1; n <= 4; n++) client.chat('1', { runId: `r${n}` })
  expect(await client.next('error', 'r3')).toMatchObject({
    code: 'rate-limited',
    retryAfterMs: expect.any(Number),
  })
  await client.next('done', 'r2')
  for (let n = 0; n < 5; n++) client.send({ type: 'ping' })
  expect(await client.closed).toBe(4529)
})

test('a peer that reads nothing costs what a link may hold, and delays nobody', async () => {
  const agent = puppetAgent('puppet')
  await using service = await serveChat({ agent }, { limits: { logBytes: 200_000, highWaterBytes: 65_536 } })
  const [slow, quick] = [await service.connect(), await service.connect()]
  slow.chat('hi', { sessionId: 's1', runId: 'r1' })
  const run = await agent.nextRun()
  await run.say('first')
  await slow.next('chunk')
  slow.socket.pause()
  quick.chat('me, too', { sessionId: 's1', runId: 'r2' })
  const text = 'x'.repeat(10_000)
  for (let n = 0; n < 100; n++) await run.say(text)
  run.end()
  const second = await agent.nextRun()
  await second.say('second')
  second.end()
  expect(await quick.next('done', 'r2')).toMatchObject({ text: 'second' })
  const held = service.gateway.sessions.list(ANONYMOUS)
  expect(held).toHaveLength(2)
  for (const { bufferedBytes } of held) expect(bufferedBytes).toBeLessThan(200_000)
  slow.socket.resume()
  // It gets every end, or the history where the log has let go of what it missed.
  await slow.until(() => [...slow.all('done', 'r2'), ...slow.all('reset')])
})
