import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ThreadEvent } from '@turnpike/protocol'
import type { Limits } from '@turnpike/protocol'
import { type Census, type Sample, census, sampleOf } from './sample.ts'
import type { ThreadRecorder } from './thread-recorder.ts'
import type { GatewayServer } from '@turnpike/gateway/server'

/** What a server process is started with. */
export interface ServerOptions {
  /** A file for the store; else it is in memory. */
  readonly file?: string
  /** @default a free one */
  readonly port?: number
  readonly limits?: Partial<Limits>
  /** Takes any token, as the name of its user. */
  readonly users?: boolean
  /** Writes down what is logged. */
  readonly recorded?: boolean
}

/** What a scenario may ask the server for over a channel that no client uses, and what it gets. */
export interface Questions {
  sample: { asked: object; answer: Sample }
  /** A sample behind a garbage collection. */
  settled: { asked: object; answer: Sample & Census }
  log: { asked: { threadId: string; after: number }; answer: readonly ThreadEvent[] }
}

export type Question = {
  [Name in keyof Questions]: { readonly id: number; readonly name: Name } & Questions[Name]['asked']
}[keyof Questions]

/** Answers scenarios, and ends with them. */
export function serveControl(gatewayServer: GatewayServer, recorder: ThreadRecorder): void {
  const answer = async (question: Question): Promise<unknown> => {
    switch (question.name) {
      case 'log':
        return recorder.take(question.threadId, question.after)
      case 'sample':
        return sampleOf(gatewayServer)
      case 'settled': {
        // What is swept is told a turn later.
        for (let i = 0; i < 3; i++) {
          globalThis.gc?.()
          await nextTurn()
        }
        const alive = census()
        return { ...sampleOf(gatewayServer), ...alive }
      }
      default:
        return question satisfies never
    }
  }
  process.on('message', (question: Question) => {
    void answer(question).then((result) => process.send?.({ id: question.id, result }))
  })
  process.on('disconnect', () => process.exit())
}
