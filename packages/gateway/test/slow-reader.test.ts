import type { Socket } from 'node:net'
import { type ThreadEvent, LIMITS, advance } from '@turnpike/protocol'
import { type StreamFrame, connectWebSocket, openEventStream, puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { type GatewayServer } from '@turnpike/gateway/server'
import { serve } from './server.ts'

const PIECE = 'x'.repeat(1_000)
const PIECES_PER_RUN = 300
const RUNS = 100

/** Follows what the server holds for its peers: the most that one socket ever had unsent. */
function watchBuffers(server: GatewayServer['server']): { peak: () => number } {
  const sockets = new Set<Socket>()
  let peak = 0
  server.on('connection', (socket) => sockets.add(socket))
  const timer = setInterval(() => {
    for (const socket of sockets) peak = Math.max(peak, socket.writableLength)
  }, 1)
  server.on('close', () => clearInterval(timer))
  return { peak: () => peak }
}

async function produce(
  agent: ReturnType<typeof puppetAgent>,
  send: (n: number) => Promise<unknown>,
): Promise<void> {
  for (let n = 0; n < RUNS; n++) {
    await send(n)
    const run = await agent.nextRun()
    for (let i = 0; i < PIECES_PER_RUN; i++) await run.say(PIECE)
    run.end()
    await run.closed
  }
}

test('a reader that never reads costs its high-water mark and a page; the others are not delayed', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent])
  const buffers = watchBuffers(server.server)
  const url = `${server.baseUrl.replace('http', 'ws')}/stream`
  await using sender = await connectWebSocket({ url })
  await sender.request('thread.send', { message: 'begin', threadId: 't' })
  ;(await agent.nextRun()).end()
  await sender.inbox.until((frame) => frame.type === 'finish')

  await using stalled = await connectWebSocket({ url })
  await stalled.request('thread.subscribe', { threadId: 't' })
  stalled.pause()
  await using stalledStream = await openEventStream({ url: `${server.baseUrl}/threads/t/events` })

  const read = (async () => {
    let finished = 0
    let last = 0
    for await (const frame of sender.inbox) {
      const event = frame as ThreadEvent
      if (last > 0) expect(advance(last, event)).toBe('apply')
      last = event.seq
      if (event.type === 'finish' && ++finished === RUNS) return
    }
  })()
  await produce(agent, (n) => sender.request('thread.send', { message: `${n}`, threadId: 't' }))
  await read
  expect(buffers.peak()).toBeGreaterThan(LIMITS.flushBytes)
  // The largest event is the last of a run, which repeats its text.
  const largest = PIECES_PER_RUN * PIECE.length + 1_000
  expect(buffers.peak()).toBeLessThanOrEqual(LIMITS.highWaterBytes + largest)

  // Thirty megabytes behind, it is told so, gets the history, and goes on live.
  stalled.resume()
  const frames = await stalled.inbox.until((frame) => frame.type === 'thread.reset')
  expect(frames.at(-1)).toMatchObject({ cause: 'lagged', threadId: 't' })
  await sender.request('thread.send', { message: 'again', threadId: 't' })
  const run = await agent.nextRun()
  await run.say('live')
  run.end()
  const after = await stalled.inbox.until((frame) => frame.type === 'finish')
  expect(after.map((frame: StreamFrame) => frame.type)).toEqual(['start', 'text-delta', 'finish'])
  await stalledStream.close()
})
