import {
  type Client,
  type ClientOptions,
  type Clock,
  type ConnectionState,
  type Message,
  type ThreadEvent,
  type Transport,
  createClient,
  reduce,
} from '@turnpike/client'
import { mergeDeltas } from '@turnpike/protocol'
import type { ConformanceCase } from './conformance-cases.ts'

/** Time goes so much faster, so that nobody waits for a time-out. */
const SPEED = 20
const DEADLINE_MS = 15_000

/** What the server saw. */
export interface Facts {
  readonly log: readonly ThreadEvent[]
  readonly runs: number
  readonly connects: number
  readonly tickets: readonly string[]
}

interface Seen {
  readonly events: ThreadEvent[]
  readonly resets: string[]
  readonly states: ConnectionState[]
  tokens: number
  status?: string
  text?: string
  error?: string
  message?: Message | undefined
  followed?: readonly Message[]
}

const fastClock: Clock = {
  now: () => Date.now() * SPEED,
  after(delayMs, act) {
    const timer = setTimeout(act, delayMs / SPEED)
    return () => clearTimeout(timer)
  },
  random: () => 0.5,
}

/**
 * Runs one case against a fault-injecting server; gives what is wrong, in words. It needs nothing but `fetch`, so that
 * it also runs in a browser.
 */
export async function runCase(
  origin: string,
  spec: ConformanceCase,
  options: Pick<ClientOptions, 'WebSocket'> & { transport: Transport },
): Promise<string[]> {
  const response = await fetch(`${origin}/cases`, { method: 'POST', body: JSON.stringify(spec.plan) })
  const { path } = (await response.json()) as { path: string }
  const url = `${origin}${path}`
  const seen: Seen = { events: [], resets: [], states: [], tokens: 0 }
  const client = createClient({ ...options, url, clock: fastClock, getToken: () => `token-${++seen.tokens}` })
  client.connection.onChange((state) => seen.states.push(state))
  try {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Error('It did not end in time.')), DEADLINE_MS)
    await Promise.race([talk(client, spec, seen), late.promise]).finally(() => clearTimeout(timer))
  } catch (error) {
    seen.error = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  } finally {
    client.close()
  }
  const facts = (await (await fetch(`${url}/facts`)).json()) as Facts
  return problemsOf(spec, seen, facts)
}

async function talk(client: Client, { act }: ConformanceCase, seen: Seen): Promise<void> {
  const onReset = ({ cause }: { cause: string }): void => void seen.resets.push(cause)
  const begun = client.threads.stream({ threadId: 't', message: 'count to 6', onReset })
  if (act === 'close') {
    client.close()
    await begun
  }
  const stream = await begun
  for await (const event of stream) seen.events.push(event)
  const { status, text } = await stream.finished
  Object.assign(seen, { status, text, message: stream.message })
  for await (const { messages } of client.threads.subscribe({ threadId: 't' })) {
    seen.followed = messages
    if (messages.at(-1)?.status === 'done') break
  }
}

function problemsOf(spec: ConformanceCase, seen: Seen, facts: Facts): string[] {
  const { resets = [], connects = spec.act ? 0 : 1, delayMs = 0, error, tokens, ticket, wire } = spec
  const problems: string[] = []
  const expect = (what: string, actual: unknown, wanted: unknown): void => {
    const [a, b] = [JSON.stringify(actual), JSON.stringify(wanted)]
    if (a !== b) problems.push(`${what}: ${a}, not ${b}`)
  }
  expect('error', seen.error, error)
  if (facts.connects < connects) problems.push(`it connected ${facts.connects} times, not ${connects}`)
  const delays = seen.states.map((state) => (state.status === 'reconnecting' ? state.delayMs : 0))
  if (Math.max(0, ...delays) < delayMs) problems.push(`it waited for ${delays.join(', ')} ms, not ${delayMs}`)
  if (tokens !== undefined) expect('tokens', seen.tokens, tokens)
  if (ticket !== undefined && facts.tickets.length > 0) expect('tickets', facts.tickets, [ticket])
  const open = seen.states.findLast((state) => state.status === 'open')
  if (wire !== undefined) expect('wire', open?.status === 'open' && open.wire, wire)
  if (error !== undefined) {
    expect('runs', facts.runs, 0)
    return problems
  }
  expect('runs', facts.runs, 1)
  expect('resets', seen.resets, resets)
  expect('status', seen.status, 'done')
  const known = facts.log.filter((event) => (event.type as string) !== 'weather')
  const visible = known.filter((event) => event.type !== 'text-delta' || event.channel === 'answer')
  const messages = visible.reduce<readonly Message[]>(reduce, [])
  expect('message', seen.message && textsOf([seen.message]), textsOf(messages.slice(-1)))
  expect('thread', textsOf(seen.followed ?? []), textsOf(messages))
  if (resets.length > 0) return problems
  // Deltas may come joined, with `covers` saying so.
  expect('events', mergeDeltas(seen.events).map(saying), mergeDeltas(visible).map(saying))
  const untold = seen.events.filter(
    ({ seq, covers = 1 }, index) => seq - covers !== (seen.events[index - 1]?.seq ?? 0),
  )
  expect('events that do not continue each other', untold, [])
  return problems
}

function saying({ covers: _covers, ...event }: ThreadEvent): object {
  return event
}

function textsOf(messages: readonly Message[]): string[] {
  return messages.map(
    ({ id, status, parts }) =>
      `${id} ${status} ${parts.map((part) => ('text' in part ? part.text : '')).join('')}`,
  )
}
