/** What our loop costs over reading a model's stream; by itself, or as the scenario `agent-loop` of `npm run bench`. */
import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { createAgent } from '@turnpike/agents'
import type { AgentYield, Runnable, RunContext, RunInput } from '@turnpike/agents'
import { streamText } from 'ai'

const DELTAS = 100_000
const ROUNDS = 5
const RUNS = 500
const RATE = 50
const SECONDS = 5

const FINISH: LanguageModelV4StreamPart = {
  type: 'finish',
  finishReason: { unified: 'stop', raw: 'stop' },
  usage: {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
  },
}
const message = {
  id: 'm',
  role: 'user' as const,
  parts: [{ type: 'text' as const, text: 'hi' }],
  status: 'done' as const,
  createdAt: 0,
}
const input: RunInput = { text: 'hi', message, history: [] }

function context(): RunContext {
  const none = (): Promise<never> => Promise.reject(new Error('none'))
  return {
    runId: 'r',
    threadId: 't',
    principal: { id: 'anonymous' },
    signal: new AbortController().signal,
    emit: () => {},
    background: () => '',
    approvals: { request: none, open: none },
    artifacts: { create: none, update: none, get: none },
    memories: { write: none, recall: none },
  }
}

function modelOf(stream: () => ReadableStream<LanguageModelV4StreamPart>): LanguageModelV4 {
  return {
    specificationVersion: 'v4',
    provider: 'bench',
    modelId: 'bench',
    supportedUrls: {},
    doStream: () => Promise.resolve({ stream: stream() }),
    doGenerate: () => Promise.reject(new Error('none')),
  }
}

/** A model that has all its deltas at once. */
function readyModel(): LanguageModelV4 {
  return modelOf(() => {
    let sent = 0
    return new ReadableStream({
      start: (controller) => controller.enqueue({ type: 'text-start', id: 't' }),
      pull(controller) {
        if (sent++ < DELTAS) return controller.enqueue({ type: 'text-delta', id: 't', delta: ' token' })
        controller.enqueue({ type: 'text-end', id: 't' })
        controller.enqueue(FINISH)
        controller.close()
      },
    })
  })
}

async function readDoStream(model: LanguageModelV4): Promise<number> {
  const { stream } = await model.doStream({ prompt: [] })
  let chars = 0
  const reader = stream.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return chars
    if (value.type === 'text-delta') chars += value.delta.length
  }
}

async function readAgent(agent: Runnable): Promise<number> {
  let chars = 0
  for await (const value of agent.run(input, context())) if (typeof value === 'string') chars += value.length
  return chars
}

async function readStreamText(model: LanguageModelV4): Promise<number> {
  let chars = 0
  for await (const part of streamText({ model, prompt: 'hi' }).stream) {
    if (part.type === 'text-delta') chars += part.text.length
  }
  return chars
}

/** The least µs of CPU that a delta took in any round. */
async function perDelta(read: () => Promise<number>): Promise<number> {
  let least = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    const chars = await read()
    const { user, system } = process.cpuUsage(before)
    if (chars !== DELTAS * ' token'.length) throw new Error(`Expected all deltas, got ${chars} characters.`)
    least = Math.min(least, (user + system) / DELTAS)
  }
  return least
}

/** A model whose deltas are due at a steady rate; each tells when it was. */
function pacedModel(): { model: LanguageModelV4; start: () => void } {
  const controllers: ReadableStreamDefaultController<LanguageModelV4StreamPart>[] = []
  const model = modelOf(
    () => new ReadableStream({ start: (controller) => void controllers.push(controller) }),
  )
  const start = (): void => {
    const startedAt = performance.now()
    const sent = controllers.map(() => 0)
    const timer = setInterval(() => {
      const now = performance.now()
      let isDone = true
      controllers.forEach((controller, index) => {
        const offset = (index / RUNS) * (1000 / RATE)
        for (;;) {
          const count = sent[index] ?? 0
          const dueAt = startedAt + offset + (count * 1000) / RATE
          if (count >= RATE * SECONDS) return
          isDone = false
          if (dueAt > now) return
          sent[index] = count + 1
          controller.enqueue({ type: 'text-delta', id: 't', delta: String(dueAt) })
          if (count + 1 < RATE * SECONDS) continue
          controller.enqueue(FINISH)
          controller.close()
        }
      })
      if (isDone) clearInterval(timer)
    }, 1)
  }
  return { model, start }
}

interface Paced {
  readonly cpuPercent: number
  readonly p50: number
  readonly p99: number
}

async function paced(
  read: (model: LanguageModelV4, onDelta: (delta: string) => void) => Promise<void>,
): Promise<Paced> {
  const { model, start } = pacedModel()
  const latencies: number[] = []
  const onDelta = (delta: string): void => void latencies.push(performance.now() - Number(delta))
  const runs = Array.from({ length: RUNS }, () => read(model, onDelta))
  await new Promise((resolve) => setTimeout(resolve, 200))
  const before = process.cpuUsage()
  const startedAt = performance.now()
  start()
  await Promise.all(runs)
  const { user, system } = process.cpuUsage(before)
  const cpuPercent = (user + system) / 10 / (performance.now() - startedAt)
  if (latencies.length !== RUNS * RATE * SECONDS)
    throw new Error(`Expected all deltas, got ${latencies.length}.`)
  const sorted = Float64Array.from(latencies).toSorted()
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0
  return { cpuPercent, p50: at(0.5), p99: at(0.99) }
}

async function eachDelta(values: AsyncIterable<AgentYield>, onDelta: (delta: string) => void): Promise<void> {
  for await (const value of values) if (typeof value === 'string') onDelta(value)
}

function agentOf(model: LanguageModelV4): Runnable {
  return createAgent({ name: 'bench', model, register: false })
}

const model = readyModel()
const agent = agentOf(model)
const costs = {
  doStream: await perDelta(() => readDoStream(model)),
  'our loop': await perDelta(() => readAgent(agent)),
  streamText: await perDelta(() => readStreamText(model)),
}
console.log(`${DELTAS.toLocaleString('en-US')} deltas, µs of CPU each, the best of ${ROUNDS} rounds`)
console.table(
  Object.entries(costs).map(([way, us]) => ({
    way,
    'µs a delta': us.toFixed(2),
    'over doStream': (us - costs.doStream).toFixed(2),
  })),
)

const ways = {
  doStream: async (paced: LanguageModelV4, onDelta: (delta: string) => void) => {
    const { stream } = await paced.doStream({ prompt: [] })
    for await (const part of stream) if (part.type === 'text-delta') onDelta(part.delta)
  },
  'our loop': (paced: LanguageModelV4, onDelta: (delta: string) => void) =>
    eachDelta(agentOf(paced).run(input, context()), onDelta),
  streamText: async (paced: LanguageModelV4, onDelta: (delta: string) => void) => {
    for await (const delta of streamText({ model: paced, prompt: 'hi' }).textStream) onDelta(delta)
  },
}
console.log(`${RUNS} runs of ${RATE} deltas/s for ${SECONDS} s, latency from the time a delta is due`)
const rows = []
const steady: Record<string, Paced> = {}
for (const [way, read] of Object.entries(ways)) {
  const { cpuPercent, p50, p99 } = (steady[way] = await paced(read))
  rows.push({ way, 'CPU %': cpuPercent.toFixed(0), 'p50 ms': p50.toFixed(2), 'p99 ms': p99.toFixed(2) })
}
console.table(rows)
process.send?.({ costs, steady })
