import { setTimeout as delay } from 'node:timers/promises'
import { type Runnable, defineAgent } from '@turnpike/agents'
import { createGatewayServer } from '@turnpike/gateway/server'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'

/** Counts, a word every few milliseconds, for as long as it is let. */
const counter = defineAgent({
  name: 'counter',
  register: false,
  async *run() {
    for (let n = 1; n < 100_000; n++) {
      if (n % 4 === 0) await delay(8)
      yield `${n} `
    }
  },
})

/** Asks before it says the word of its message. */
const asker: Runnable = defineAgent({
  name: 'asker',
  register: false,
  async *run({ text, resume }, { approvals }) {
    if (resume) {
      const [decision] = resume.decisions
      return yield `${JSON.stringify(resume.state)} ${decision?.approved ? 'yes' : `no: ${decision?.reason}`}`
    }
    yield 'May I? '
    yield { type: 'step-start', step: 0 }
    yield { type: 'tool-call-start', toolCallId: 'c', tool: 'say' }
    yield { type: 'tool-call-args', toolCallId: 'c', tool: 'say', delta: '{}', args: {} }
    await approvals.open({ toolCallId: 'c', tool: 'say', args: {} })
    yield {
      type: 'step-finish',
      step: 0,
      finishReason: 'tool-calls',
      usage: { inputTokens: 3, outputTokens: 4 },
    }
    return { parked: { state: { word: text } } }
  },
})

/** Leaves work behind that never ends. */
const worker = defineAgent({
  name: 'worker',
  register: false,
  async *run(_input, { background, memories, artifacts }) {
    await memories.write('The meeting is on Thursday')
    await artifacts.create({ id: 'plan', kind: 'markdown', title: 'Plan', content: '# Plan' })
    background('dig', async ({ signal, update }) => {
      update(0.5)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    })
    yield 'digging'
  },
})

const approvalMs = Number(process.env['APPROVAL_MS'] ?? 900_000)
const server = createGatewayServer({
  agents: [counter, asker, worker],
  store: sqliteStore({ file: process.env['STORE_FILE'] ?? '' }),
  limits: { approvalMs },
  // The runs that are lost are what the test is about.
  logger: { error() {}, info() {} },
})
process.on('SIGTERM', () => {
  server.close(200).then(
    () => process.exit(0),
    () => process.exit(1),
  )
})
process.stdout.write(`${await server.listen(0)}\n`)
