import { type ThreadEvent, type ThreadReset, createClient } from '@turnpike/client'
import { expect, test, vi } from 'vitest'
import { type Turnpike, serveTurnpike, startTurnpike } from './start-turnpike.ts'

// Each test starts several processes.
vi.setConfig({ testTimeout: 60_000 })

const FAST = { DEMO_TOKENS_PER_SECOND: '0' }

type Line = ThreadEvent | ThreadReset

const isEnd = ({ type }: Line): boolean => type === 'finish' || type === 'error'
const isReset = ({ type }: Line): boolean => type === 'thread.reset'

/** The number of events that lines stand for. Fails where one is missing, or comes twice. */
function countOf(lines: readonly Line[], before = 0): number {
  return lines.reduce((last, line) => {
    if (!('seq' in line)) throw new Error(`A reset: ${line.cause}`)
    expect(line.seq - (line.covers ?? 1)).toBe(last)
    return line.seq
  }, before)
}

/** Says something to a thread, and waits for the answer. */
async function say(url: string, message: string): Promise<void> {
  await using client = createClient({ url })
  await (
    await client.threads.stream({ message, threadId: 't' })
  ).finished
}

/** What a tail prints, up to the first line that matches. */
async function linesUntil({ lines }: Turnpike, matches: (line: Line) => boolean): Promise<Line[]> {
  const taken: Line[] = []
  for (;;) {
    const line = JSON.parse(await lines.next()) as Line
    taken.push(line)
    if (matches(line)) return taken
  }
}

test('tail prints each event as a line of JSON until Ctrl-C, from the beginning if asked', async () => {
  await using server = await serveTurnpike(FAST)
  await say(server.url, 'one')
  await using whole = startTurnpike(['tail', 't', '--url', server.url, '--from', 'beginning'])
  const first = await linesUntil(whole, isEnd)
  expect(first[0]).toMatchObject({ type: 'start', seq: 1, threadId: 't', agent: 'demo' })
  const count = countOf(first)
  await say(server.url, 'two')
  countOf(await linesUntil(whole, isEnd), count)
  whole.process.kill('SIGINT')
  expect(await whole.exited).toBe(0)
})

test('tail from now prints what comes, for people if asked', async () => {
  await using server = await serveTurnpike(FAST)
  await say(server.url, 'one')
  await using tail = startTurnpike(['tail', 't', '--url', server.url, '--pretty'])
  // Nothing tells that it listens before it has something to say.
  let isHeard = false
  const heard = tail.lines.until((line) => line.includes(' finish ')).finally(() => (isHeard = true))
  while (!isHeard) await say(server.url, 'two')
  await heard
  // It may have come in the middle of a run; the next one it sees whole.
  await say(server.url, 'three')
  const begun = await tail.lines.until((line) => line.includes('› three'))
  expect(begun.at(-1)).toMatch(/^\d\d:\d\d:\d\d\.\d{3} +\d+ start +› three$/)
  const ended = await tail.lines.until((line) => line.includes(' finish '))
  expect(ended.at(-1)).toMatch(/ finish +\(stop\)$/)
})

test('tail goes on after a server that was shut down and started again', async () => {
  await using server = await serveTurnpike(FAST)
  await say(server.url, 'one')
  await using tail = startTurnpike(['tail', 't', '--url', server.url, '--from', 'beginning'])
  const count = countOf(await linesUntil(tail, isEnd))
  await server.stop('SIGTERM')
  await server.startAgain()
  await say(server.url, 'two')
  countOf(await linesUntil(tail, isEnd), count)
  expect(await tail.notes.next()).toBe('Reconnecting … resumed.')
})

test('tail says so where a server that died has lost events', async () => {
  await using server = await serveTurnpike()
  await using client = createClient({ url: server.url })
  await client.threads.stream({ message: 'tell me a long story', threadId: 't' })
  await using tail = startTurnpike(['tail', 't', '--url', server.url, '--from', 'beginning'])
  await linesUntil(tail, ({ type }) => type === 'text-delta')
  await server.stop('SIGKILL')
  await server.startAgain()
  const told = await linesUntil(tail, isReset)
  expect(told.at(-1)).toMatchObject({ type: 'thread.reset', threadId: 't', cause: 'expired' })
  await say(server.url, 'two')
  await linesUntil(tail, (line) => line.type === 'finish' && line.finishReason === 'stop')
})

test('tail ends when nobody reads on', async () => {
  await using server = await serveTurnpike(FAST)
  await say(server.url, 'one')
  await using tail = startTurnpike(['tail', 't', '--url', server.url, '--from', 'beginning'])
  await linesUntil(tail, isEnd)
  tail.process.stdout.destroy()
  await say(server.url, 'two')
  expect(await tail.exited).toBe(0)
})

test('a thread that is not there is a failure', async () => {
  await using server = await serveTurnpike(FAST)
  await using tail = startTurnpike(['tail', 'nothing', '--url', server.url])
  expect(await tail.exited).toBe(1)
  expect(await tail.notes.next()).toBe('turnpike: There is no thread of that id.')
})
