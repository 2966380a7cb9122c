import { type ThreadEvent, LIMITS } from '@turnpike/protocol'
import { puppetAgent } from '@turnpike/testkit'
import { type SocketIoClient, connectSocketIo } from '@turnpike/testkit/socket-io'
import { expect, test } from 'vitest'
import type { WebSocket } from 'ws'
import { serveThreads } from './thread-server.ts'

const PIECE = 'x'.repeat(1_000)
const PIECES_PER_RUN = 300
const RUNS = 50

/** The client's own WebSocket, to stop reading from. */
function websocketOf(client: SocketIoClient): WebSocket {
  return (client.socket.io.engine.transport as unknown as { ws: WebSocket }).ws
}

test('a reader that stops reading costs its high-water mark and a page, over both transports', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serveThreads([agent])
  const { baseUrl: url } = server
  await using sender = await connectSocketIo({ url })
  await sender.request('thread.send', { threadId: 't', message: 'begin' })
  ;(await agent.nextRun()).end()
  await sender.inbox.until(({ type }) => type === 'finish')

  await using stalled = await connectSocketIo({ url, auth: { threadId: 't' } })
  await stalled.inbox.next()
  websocketOf(stalled).pause()
  // One that polls once, and never again.
  const polling = `${url}/streaming/?EIO=4&transport=polling`
  const sid = /"sid":"([^"]+)"/.exec(await (await fetch(polling)).text())?.[1]
  await fetch(`${polling}&sid=${sid}`, { method: 'POST', body: '40{"threadId":"t"}' })
  await expect.poll(() => server.gateway.connectionCount).toBe(3)

  let peak = 0
  const look = (): void => {
    for (const { bufferedBytes } of server.gateway.sessions.list({ id: 'anonymous' })) {
      peak = Math.max(peak, bufferedBytes)
    }
  }
  const read = (async () => {
    let finished = 0
    for await (const frame of sender.inbox) if (frame.type === 'finish' && ++finished === RUNS) return
  })()
  for (let n = 0; n < RUNS; n++) {
    await sender.request('thread.send', { threadId: 't', message: `${n}` })
    const run = await agent.nextRun()
    for (let i = 0; i < PIECES_PER_RUN; i++) {
      await run.say(PIECE)
      if (i % 10 === 0) look()
    }
    run.end()
    await run.closed
    look()
  }
  await read
  // The largest event is the last of a run, which repeats its text.
  const largest = PIECES_PER_RUN * PIECE.length + 1_000
  expect(peak).toBeGreaterThanOrEqual(LIMITS.highWaterBytes)
  expect(peak).toBeLessThanOrEqual(LIMITS.highWaterBytes + largest)

  // Fifteen megabytes behind, it is told so, gets the history, and goes on live.
  websocketOf(stalled).resume()
  const frames = await stalled.inbox.until(({ type }) => type === 'thread.reset')
  expect(frames.at(-1)).toMatchObject({ cause: 'lagged', threadId: 't' })
  await sender.request('thread.send', { threadId: 't', message: 'again' })
  const run = await agent.nextRun()
  await run.say('live')
  run.end()
  const after = (await stalled.inbox.until(({ type }) => type === 'finish')) as ThreadEvent[]
  expect(after.map(({ type }) => type)).toEqual(['start', 'text-delta', 'finish'])
})
