import { setTimeout as delay } from 'node:timers/promises'
import type { ChatRecord } from './chat-checker.ts'
import { ChatTranscript } from './chat-transcript.ts'
import type { Random } from './random.ts'

const RECONNECT_MS = [1, 8] as const

export interface FollowChatOptions {
  /** `http://127.0.0.1:3000` */
  readonly baseUrl: string
  /** @default '/ws' */
  readonly path?: string
  readonly sessionId: string
  readonly runId: string
  readonly message: string
  readonly agent?: string
  readonly random: Random
  /** Silence after which a connection counts as dead. @default 1 s */
  readonly livenessMs?: number
  /** Time for the whole. @default 60 s */
  readonly deadlineMs?: number
}

export interface FollowedChat {
  /** Of each connection, for `checkChat`: the last one was left when it was answered, the others were cut. */
  readonly connections: readonly (readonly ChatRecord[])[]
}

/**
 * Asks over chat JSON as a client does that never gives up: the same question, by the same run id, over one connection
 * after the other, until one of them has told its end.
 *
 * @throws Error past the deadline
 */
export async function followChat(options: FollowChatOptions): Promise<FollowedChat> {
  const { baseUrl, path = '/ws', random, livenessMs: silenceMs = 1_000, deadlineMs = 60_000 } = options
  const { message, runId, sessionId, agent } = options
  const url = `${baseUrl.replace(/^http/, 'ws')}${path}`
  const connections: (readonly ChatRecord[])[] = []
  const deadline = performance.now() + deadlineMs
  while (performance.now() < deadline) {
    const transcript = await ChatTranscript.open({ url, deadlineMs: silenceMs }).catch(() => undefined)
    if (transcript) {
      await using connection = transcript
      connections.push(connection.records)
      connection.ask(
        { runId },
        { type: 'chat', message, runId, sessionId, ...(agent !== undefined && { agent }) },
      )
      if (await connection.until(() => connection.isOver(runId), { silenceMs })) return { connections }
    }
    await delay(random.int(...RECONNECT_MS))
  }
  throw new Error(
    `${runId} was not told to its end within ${deadlineMs} ms, on ${connections.length} connections.`,
  )
}
