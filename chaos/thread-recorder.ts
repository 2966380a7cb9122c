import { type Runnable, defineAgent } from '@turnpike/agents'
import { type Gateway, ANONYMOUS, threadRef } from '@turnpike/gateway'
import { type ThreadEvent, ORIGIN, seqOf } from '@turnpike/protocol'

/** Writes down what is logged, as a reader of the log itself. */
export class ThreadRecorder {
  gateway: Gateway | undefined
  readonly #threads = new Map<string, { events: ThreadEvent[]; pull: () => void }>()

  /** An agent whose threads are recorded from their first run on. */
  wrap(agent: Runnable): Runnable {
    const follow = (threadId: string): Promise<void> => this.#follow(threadId)
    return defineAgent({
      name: agent.name,
      register: false,
      async *run(input, context) {
        await follow(context.threadId)
        return yield* agent.run(input, context)
      },
    })
  }

  /** The events behind `seq`; those up to it are let go of. */
  take(threadId: string, seq: number): readonly ThreadEvent[] {
    const thread = this.#threads.get(threadId)
    if (!thread) return []
    thread.pull()
    thread.events = thread.events.filter((event) => event.seq > seq)
    return thread.events
  }

  async #follow(threadId: string): Promise<void> {
    if (!this.gateway || this.#threads.has(threadId)) return
    const thread = { events: [] as ThreadEvent[], pull: () => {} }
    this.#threads.set(threadId, thread)
    const start = { after: ORIGIN }
    const { window, position } = await this.gateway.log.follow(threadRef(ANONYMOUS, threadId), start, () =>
      thread.pull(),
    )
    let seq = seqOf(position)
    thread.pull = () => {
      for (let event = window.at(seq + 1); event; event = window.at(seq + 1)) {
        thread.events.push(event)
        seq = event.seq
      }
      if (seq < window.headSeq) throw new Error(`The recorder of ${threadId} missed event ${seq + 1}.`)
    }
    thread.pull()
  }
}
