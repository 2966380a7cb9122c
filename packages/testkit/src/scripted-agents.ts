import {
  type Runnable,
  type AgentYield,
  type RunContext,
  type RunInput,
  type RunOutcome,
  defineAgent,
} from '@turnpike/agents'

/** An agent that yields what it was given, each in a turn of its own. */
export function scriptedAgent(
  name: string,
  script: readonly AgentYield[],
  outcome: RunOutcome = {},
): Runnable {
  return defineAgent({
    name,
    register: false,
    async *run() {
      for (const step of script) {
        await new Promise(setImmediate)
        yield step
      }
      return outcome
    },
  })
}

/** An agent that counts to the number in its message, `burst` words a turn: "1 2 3 …". */
export function countingAgent(name = 'counter', burst = 1): Runnable {
  return defineAgent({
    name,
    register: false,
    async *run({ text }) {
      const last = Number(/\d+/.exec(text)?.[0] ?? 10)
      for (let n = 1; n <= last; n++) {
        if (n % burst === 0) await new Promise(setImmediate)
        yield `${n} `
      }
    },
  })
}

/** One run of a {@link PuppetAgent}, in the hand of the test. */
export interface PuppetRun {
  readonly input: RunInput
  readonly context: RunContext
  /** Lets the agent yield; resolves once the gateway has taken it and asks for more. */
  say(value: AgentYield): Promise<void>
  /** Lets the agent return. */
  end(outcome?: RunOutcome): void
  /** Lets the agent throw. */
  fail(error: unknown): void
  /** Resolves when the generator was closed: by its own end, or by the gateway. */
  readonly closed: Promise<void>
}

type Move = { yield: AgentYield; taken: () => void } | { end: RunOutcome } | { error: unknown }

/** An agent that does nothing by itself: each of its runs waits for the test to move it. */
export interface PuppetAgent extends Runnable {
  /** The next run that begins. */
  nextRun(): Promise<PuppetRun>
}

/**
 * Makes a {@link PuppetAgent}.
 *
 * @param obedient - Whether its runs end by themselves when their signal aborts. @default true
 */
export function puppetAgent(name: string, { obedient = true } = {}): PuppetAgent {
  const begun: PuppetRun[] = []
  const waiting: ((run: PuppetRun) => void)[] = []
  const agent = defineAgent({
    name,
    register: false,
    async *run(input, context) {
      const moves = new Moves()
      const closed = Promise.withResolvers<void>()
      const run: PuppetRun = {
        input,
        context,
        say: (value) => new Promise((taken) => moves.push({ yield: value, taken })),
        end: (outcome = {}) => moves.push({ end: outcome }),
        fail: (error) => moves.push({ error }),
        closed: closed.promise,
      }
      if (obedient) context.signal.addEventListener('abort', () => run.fail(context.signal.reason))
      const waiter = waiting.shift()
      if (waiter) waiter(run)
      else begun.push(run)
      try {
        for (;;) {
          const move = await moves.next()
          if ('end' in move) return move.end
          if ('error' in move) throw move.error
          yield move.yield
          move.taken()
        }
      } finally {
        closed.resolve()
      }
    },
  })
  return {
    ...agent,
    nextRun: () => {
      const run = begun.shift()
      return run ? Promise.resolve(run) : new Promise((resolve) => waiting.push(resolve))
    },
  }
}

class Moves {
  readonly #queue: Move[] = []
  #waiting: ((move: Move) => void) | undefined

  push(move: Move): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting) waiting(move)
    else this.#queue.push(move)
  }

  next(): Promise<Move> {
    const move = this.#queue.shift()
    return move ? Promise.resolve(move) : new Promise((resolve) => (this.#waiting = resolve))
  }
}

/** One example of everything an agent may report: with the borders of the run, 15 of the 17 events. */
export const ALL_REPORTS: readonly AgentYield[] = [
  { type: 'step-start', step: 0 },
  { type: 'text-delta', delta: 'Let me think. ', channel: 'reasoning' },
  { type: 'text-delta', delta: 'A tool will do.', channel: 'reasoning' },
  {
    type: 'memory-recall-result',
    query: 'city',
    memories: [{ id: 'm0', text: 'Lives in Oslo', score: 0.9 }],
  },
  { type: 'tool-call-start', toolCallId: 'c1', tool: 'weather' },
  { type: 'tool-call-args', toolCallId: 'c1', tool: 'weather', delta: '{"city":' },
  { type: 'tool-call-args', toolCallId: 'c1', tool: 'weather', delta: '"Oslo"}', args: { city: 'Oslo' } },
  { type: 'tool-call-result', toolCallId: 'c1', tool: 'weather', result: { celsius: -3 } },
  { type: 'tool-call-start', toolCallId: 'c2', tool: 'broken' },
  { type: 'tool-call-args', toolCallId: 'c2', tool: 'broken', delta: '{}', args: {} },
  {
    type: 'tool-call-error',
    toolCallId: 'c2',
    tool: 'broken',
    error: { code: 'tool-failed', message: 'No.' },
  },
  { type: 'step-finish', step: 0, finishReason: 'tool-calls', usage: { inputTokens: 10, outputTokens: 5 } },
  { type: 'step-start', step: 1 },
  {
    type: 'artifact-created',
    artifact: { id: 'a1', version: 1, kind: 'markdown', title: 'Note', content: '# Cold' },
  },
  {
    type: 'artifact-updated',
    artifact: { id: 'a1', version: 2, kind: 'markdown', title: 'Note' },
    content: '# -3',
  },
  { type: 'memory-write', memory: { id: 'm1', text: 'Asks about weather', scope: 'user' } },
  { type: 'run-update', background: { id: 'b1', name: 'index', status: 'running', progress: 0.5 } },
  'It is ',
  '-3 °C ',
  'in Oslo.',
  { type: 'step-finish', step: 1, finishReason: 'stop', usage: { inputTokens: 20, outputTokens: 7 } },
]
