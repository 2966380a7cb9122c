import { once } from 'node:events'
import { parseArgs } from 'node:util'
import type { ThreadUpdate } from '@turnpike/client'
import { ORIGIN } from '@turnpike/protocol'
import { type Command, UsageError } from '../command.ts'
import { CLIENT_OPTIONS, gatewayClient } from '../gateway-client.ts'
import { eventLine } from '../terminal/event-line.ts'
import { paintFor } from '../terminal/paint.ts'
import { plainJson } from '../terminal/plain-text.ts'
import { Transcript } from '../terminal/transcript.ts'

/** `turnpike tail`: prints the events of a thread as they come. */
export const tailCommand: Command = {
  usage: `turnpike tail <thread> [--url <address>] [--token <token>] [--from beginning|now] [--pretty]
      follow a thread, an event a line as JSON, until Ctrl-C; what is no longer to be had comes as a thread.reset`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...CLIENT_OPTIONS,
        from: { type: 'string', default: 'now' },
        pretty: { type: 'boolean', default: false },
      },
    })
    const [threadId, ...more] = positionals
    if (!threadId || more.length > 0) throw new UsageError('There is exactly one thread to follow.')
    const { from, pretty } = values
    if (from !== 'beginning' && from !== 'now') {
      throw new UsageError(`--from must be "beginning" or "now", got "${from}".`)
    }
    await using client = gatewayClient(values)
    const leaving = new AbortController()
    using _ = leavingOnRequest(leaving)
    const told = new Transcript(paintFor(process.stderr))
    client.connection.onChange((state) => {
      for (const { text } of told.connection(state)) process.stderr.write(text)
    })
    const lastEventId = from === 'beginning' ? { lastEventId: ORIGIN } : {}
    const subscription = client.threads.subscribe({ threadId, signal: leaving.signal, ...lastEventId })
    const line = pretty ? prettyLine : jsonLine
    for await (const update of subscription) {
      // A history that was asked for is only where the events begin.
      if (update.type === 'reset' && !update.cause) continue
      await print(`${line(update, threadId)}\n`, leaving.signal)
    }
    return 0
  },
}

function jsonLine(update: ThreadUpdate, threadId: string): string {
  if (update.type === 'event') return plainJson(update.event)
  const { cause, head, more, messages: history } = update
  return plainJson({ type: 'thread.reset', threadId, cause, head, history, ...(more && { more }) })
}

function prettyLine(update: ThreadUpdate): string {
  const paint = paintFor(process.stdout)
  if (update.type === 'event') return eventLine(update.event, paint)
  return paint('yellow', `reset (${update.cause}): ${update.messages.length} messages up to ${update.head}`)
}

/** Waits for who is slow to read: the client keeps a bounded number of events meanwhile, and then says so. */
async function print(text: string, signal: AbortSignal): Promise<void> {
  if (process.stdout.write(text) || signal.aborted) return
  await once(process.stdout, 'drain', { signal }).catch((error) => {
    if (!signal.aborted) throw error
  })
}

/** Leaves on Ctrl-C, and when nobody reads on. */
function leavingOnRequest(leaving: AbortController): Disposable {
  const leave = (): void => leaving.abort()
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') throw error
    leave()
  }
  process.on('SIGINT', leave)
  process.stdout.on('error', onError)
  return {
    [Symbol.dispose]() {
      process.off('SIGINT', leave)
    },
  }
}
