import {
  type Client,
  type ClientOptions,
  type Clock,
  type EventId,
  type ThreadEvent,
  createClient,
} from '@turnpike/client'
import { socketIo } from '@turnpike/client/socket-io'
import type { HistoryRecord, Random } from '@turnpike/testkit'

export interface SdkRunOptions {
  readonly baseUrl: string
  readonly threadId: string
  readonly runId: string
  readonly message: string
  readonly random: Random
  readonly clock: Clock
  /** Events after which the reader moves to another wire. */
  readonly moveAfter: number
}

/** What came of it, for `checkHistory`. */
export interface SdkRun {
  readonly records: readonly HistoryRecord[]
  readonly lastEventId: EventId
  /** Times a connection was open. */
  readonly connects: number
}

const OVER: readonly Pick<ClientOptions, 'transport' | 'wires'>[] = [
  { transport: 'websocket' },
  { transport: 'sse' },
  { wires: [socketIo()] },
]

/** Sends a message with the SDK and reads its run: over one wire at first, then with another client over another. */
export async function readWithSdk(options: SdkRunOptions): Promise<SdkRun> {
  const { threadId, runId, message, random, moveAfter } = options
  const first = random.pick(OVER)
  const second = random.pick(OVER.filter((each) => each !== first))
  const records: HistoryRecord[] = []
  let connects = 0
  let cursor: EventId | undefined
  const clientOn = (over: (typeof OVER)[number]): Client => {
    const client = createClient({ url: options.baseUrl, ...over, clock: options.clock })
    client.connection.onChange(({ status }) => (connects += Number(status === 'open')))
    return client
  }
  /** Tells whether the run has ended. */
  const take = (event: ThreadEvent): boolean => {
    records.push({ type: 'event', event })
    cursor = event.id
    return event.runId === runId && (event.type === 'finish' || event.type === 'error')
  }

  {
    await using client = clientOn(first)
    const stream = await client.threads.stream({
      threadId,
      runId,
      message,
      onReset({ cause, head, history, more }) {
        records.push({ type: 'reset', cause, head, history, more })
        cursor = head
      },
    })
    for await (const event of stream) {
      if (take(event) || records.length >= moveAfter) break
    }
    const last = records.at(-1)
    const isOver = last?.type !== 'event' || last.event.type === 'finish' || last.event.type === 'error'
    if (isOver && cursor) return { records, lastEventId: cursor, connects }
  }

  await using client = clientOn(second)
  if (!cursor) throw new Error('A stream ended before it began.')
  for await (const update of client.threads.subscribe({ threadId, lastEventId: cursor })) {
    if (update.type === 'event') {
      if (take(update.event)) break
      continue
    }
    const { cause, head, messages: history, more } = update
    records.push({ type: 'reset', cause, head, history, more })
    cursor = head
    const last = history.at(-1)
    if (last?.runId === runId && last.status !== 'open') break
  }
  return { records, lastEventId: cursor, connects }
}
