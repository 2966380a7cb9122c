import { startChaosProxy } from '@turnpike/testkit'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type ServedTurnpike, type Turnpike, serveTurnpike, startTurnpike } from './start-turnpike.ts'

// Each test starts several processes.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let server: ServedTurnpike

beforeAll(async () => {
  server = await serveTurnpike({ DEMO_TOKENS_PER_SECOND: '500' })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const chat = (...args: readonly string[]): Turnpike => startTurnpike(['chat', '--url', server.url, ...args])

async function notesOf({ notes, exited }: Turnpike): Promise<string[]> {
  await exited
  const all: string[] = []
  for await (const note of notes) all.push(note)
  return all
}

test('a pipe gets the answer and nothing else', async () => {
  await using talk = chat()
  talk.process.stdin.end('hi\n')
  expect(await talk.exited).toBe(0)
  expect(talk.output()).toMatch(/^You said: “hi”\. .* in my place\.\n$/)
  expect(await notesOf(talk)).toEqual([])
})

test('each line of a pipe is a message, and waits for its turn', async () => {
  await using talk = chat()
  talk.process.stdin.end('one\n\ntwo')
  expect(await talk.exited).toBe(0)
  expect(talk.output().split('\n')).toEqual([
    expect.stringMatching(/^You said: “one”\. This is the beginning/),
    expect.stringMatching(/^You said: “two”\. I see 1 earlier message/),
    '',
  ])
})

test('an answer comes as it grows', async () => {
  await using slow = await serveTurnpike()
  await using talk = startTurnpike(['chat', '--url', slow.url])
  talk.type('hi')
  await talk.said('You said')
  expect(talk.output()).not.toContain('in my place.')
  await talk.said('in my place.')
})

test('what an agent says cannot command the terminal', async () => {
  await using talk = chat()
  talk.process.stdin.end('\u001b[2Jclear \u009b31m \u202eback\n')
  expect(await talk.exited).toBe(0)
  expect(talk.output()).toContain('You said: “[2Jclear 31m back”.')
})

test.each([
  ['y', 'approved by anonymous', 'the postcard is on its way'],
  ['', 'denied by anonymous', 'You did not approve the postcard'],
])('a tool runs or not as the answer to its question is %j', async (...row) => {
  const [answer, told, said] = row
  await using talk = chat('--agent', 'showcase', '--reasoning')
  talk.type('Plan a day in Kyoto')
  const before = await talk.notes.until((note) => note.startsWith('Approve'))
  expect(before.at(-1)).toBe(
    'Approve send_postcard({"to":"the keeper of the tollhouse","text":"Greetings from Kyoto!"})? [y/N]',
  )
  for (const line of [
    /^I should plan a day in Kyoto/,
    /^→ get_weather\(\{"city":"Kyoto"\}\)$/,
    /^✓ get_weather \{"city":"Kyoto","sky":"light rain"/,
    /^✗ check_traffic tool-failed: Nobody counts the traffic of Kyoto/,
    /^■ document "A day in Kyoto", version 1$/,
    /^■ document "A day in Kyoto", version 2$/,
    /^remembered: Wanted to plan a day in Kyoto\.$/,
    /^… Indexing plans: 0 %$/,
  ]) {
    expect(before).toContainEqual(expect.stringMatching(line))
  }
  talk.type('what?')
  await talk.notes.until((note) => note === 'Answer y or n.')
  talk.type(answer)
  await talk.notes.until((note) => note === told)
  await talk.said(said)
  talk.process.stdin.end()
  expect(await talk.exited).toBe(0)
})

test('a question that nobody is there to answer waits, and can be answered later', async () => {
  await using first = chat('--agent', 'showcase', '--thread', 'later')
  first.process.stdin.end('Plan a day in Rome\n')
  expect(await first.exited).toBe(1)
  expect((await notesOf(first)).at(-1)).toContain('turnpike chat --thread later')

  await using second = chat('--thread', 'later')
  second.process.stdin.end('yes\n')
  expect(await second.exited).toBe(0)
  const notes = await notesOf(second)
  expect(notes[0]).toBe('› Plan a day in Rome')
  expect(notes).toContain('approved by anonymous')
  expect(second.output()).toMatch(/^That was the tour, from Rome\./)
})

test('a thread that is resumed shows its history, which is no answer', async () => {
  await using first = chat('--thread', 'old')
  first.process.stdin.end('one\n')
  await first.exited
  await using second = chat('--thread', 'old')
  second.process.stdin.end('two\n')
  expect(await second.exited).toBe(0)
  expect(await notesOf(second)).toEqual(['› one', first.output().trim()])
  expect(second.output()).toMatch(/^You said: “two”\. I see 1 earlier message/)
})

test('Ctrl-C stops the answer, and once more leaves', async () => {
  await using slow = await serveTurnpike()
  await using talk = startTurnpike(['chat', '--url', slow.url, '--thread', 't'])
  talk.type('tell me a long story')
  await talk.said('tollhouse')
  talk.process.kill('SIGINT')
  await talk.notes.until((note) => note === '(cancelled)')
  talk.type('hi')
  await talk.said('You said: “hi”. I see 1 earlier message')
  talk.process.kill('SIGINT')
  await talk.notes.until((note) => note === '(cancelled)')
  talk.process.kill('SIGINT')
  expect(await talk.exited).toBe(0)
})

test('Ctrl-C twice leaves a server that does not answer', async () => {
  await using slow = await serveTurnpike()
  await using talk = startTurnpike(['chat', '--url', slow.url])
  talk.type('tell me a long story')
  await talk.said('tollhouse')
  await slow.stop('SIGKILL')
  talk.process.kill('SIGINT')
  await talk.notes.until((note) => note === 'Stopping …')
  talk.process.kill('SIGINT')
  expect(await talk.exited).toBe(0)
})

test('a lost connection is a word in a line, and the answer is whole', async () => {
  await using slow = await serveTurnpike({ DEMO_TOKENS_PER_SECOND: '100' })
  await using proxy = await startChaosProxy({ target: { port: Number(new URL(slow.url).port) }, seed: 1 })
  await using talk = startTurnpike(['chat', '--url', `http://127.0.0.1:${proxy.port}`, '--thread', 't'])
  talk.type('tell me a long story')
  await talk.said('tollhouse')
  proxy.cutAll()
  await talk.said('no traveller has been lost there.\n')
  talk.process.stdin.end()
  expect(await talk.exited).toBe(0)
  expect((await notesOf(talk)).filter(Boolean)).toEqual(['Reconnecting … resumed.'])

  await using again = startTurnpike(['chat', '--url', slow.url, '--thread', 't'])
  again.process.stdin.end()
  expect((await notesOf(again)).slice(1).join('\n')).toBe(talk.output().trimEnd())
})

test('a server that is gone and back goes on with the conversation', async () => {
  await using slow = await serveTurnpike()
  await using talk = startTurnpike(['chat', '--url', slow.url])
  talk.type('tell me a long story')
  await talk.said('tollhouse')
  await slow.stop('SIGKILL')
  await slow.startAgain()
  await talk.notes.until((note) => note === '(failed)' || note.startsWith('✗ run-lost'))
  talk.process.stdin.end('hi\n')
  expect(await talk.exited).toBe(1)
  expect(talk.output()).toContain('You said: “hi”. I see 1 earlier message')
})

test('an agent that is not there is a failure', async () => {
  await using talk = chat('--agent', 'nobody')
  talk.process.stdin.end('hi\n')
  expect(await talk.exited).toBe(1)
  expect((await notesOf(talk)).join('\n')).toContain('✗ unknown-agent')
})

test('an answer that fails is a failure, and the lines after it are answered', async () => {
  await using talk = chat()
  talk.process.stdin.end('fail\nhi\n')
  expect(await talk.exited).toBe(1)
  expect((await notesOf(talk)).join('\n')).toContain('✗ model-failed')
  expect(talk.output()).toContain('You said: “hi”')
})

test('a server that is not there is a failure', async () => {
  await using talk = startTurnpike(['chat', '--url', 'http://127.0.0.1:1'])
  expect(await talk.exited).toBe(1)
  expect(await notesOf(talk)).toEqual(['turnpike: The server cannot be reached.'])
})

test('who reads no more ends the conversation', async () => {
  await using slow = await serveTurnpike()
  await using talk = startTurnpike(['chat', '--url', slow.url])
  talk.type('tell me a long story')
  await talk.said('tollhouse')
  talk.process.stdout.destroy()
  expect(await talk.exited).toBe(0)
})

test.each([
  [['chat', '--url', 'ftp://a'], '--url must be'],
  [['chat', '--thread', ''], '--thread must not be empty'],
  [['chat', '--colour'], "Unknown option '--colour'"],
  [['chat', 'hello'], 'Unexpected argument'],
  [['tail'], 'exactly one thread'],
  [['tail', 'a', 'b'], 'exactly one thread'],
  [['tail', 'a', '--from', 'here'], '--from must be'],
  [['token'], 'exactly one user'],
  [['token', 'ada', '--ttl', 'long'], '--ttl must be'],
  [['serve', 'here'], 'Unexpected argument'],
])('turnpike %j is wrong usage', async (...row) => {
  const [args, said] = row
  await using run = startTurnpike(args)
  expect(await run.exited).toBe(2)
  const notes = (await notesOf(run)).join('\n')
  expect(notes).toContain(said)
  expect(notes).toContain(`turnpike ${args[0]}`)
})

test('a token that is printed opens a server that asks for one', async () => {
  const secret = { TURNPIKE_TOKEN_SECRET: 'a secret of no less than thirty-two bytes' }
  await using closed = await serveTurnpike({ ...secret, DEMO_TOKENS_PER_SECOND: '0' })
  await using refused = startTurnpike(['chat', '--url', closed.url])
  expect(await refused.exited).toBe(1)

  await using minting = startTurnpike(['token', 'ada', '--role', 'admin', '--ttl', '60'], secret)
  expect(await minting.exited).toBe(0)
  const token = minting.output().trim()
  await using talk = startTurnpike(['chat', '--url', closed.url, '--token', token])
  talk.process.stdin.end('hi\n')
  expect(await talk.exited).toBe(0)
  await using again = startTurnpike(['chat', '--url', closed.url], { TURNPIKE_TOKEN: token })
  again.process.stdin.end('hi\n')
  expect(await again.exited).toBe(0)
})
