import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createGatewayServer } from '@turnpike/gateway/server'
import { Inbox, connectWebSocket } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { callingAgent } from '../../gateway/test/calling-agent.ts'

interface Told {
  readonly status?: string
  readonly called?: string
}

/** The shop, in a process of its own. */
class Shop implements AsyncDisposable {
  readonly told = new Inbox<Told>({ name: 'messages of the shop' })
  readonly #process: ChildProcess
  readonly #ended: Promise<unknown>

  constructor(url: string) {
    this.#process = fork(fileURLToPath(new URL('shop-process.ts', import.meta.url)), {
      env: { ...process.env, GATEWAY_URL: url },
      execArgv: ['--conditions=@turnpike/source'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#ended = once(this.#process, 'exit')
    this.#process.on('message', (message: Told) => this.told.push(message))
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  async open(): Promise<void> {
    await this.told.until(({ status }) => status === 'open')
  }

  /** As the kernel does where memory runs out: nothing is said any more. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

test('a process that is killed in the middle of a call ends the call; another one serves the next step', async () => {
  const agent = callingAgent(
    [
      { tool: 'shop_status', args: { order: 'A1' } },
      { tool: 'shop_status', args: { order: 'lost' } },
      { tool: 'shop_status', args: { order: 'B2' } },
      'That is all.',
    ],
    ['shop.*'],
  )
  // The third call is wanted only once there is somebody to make it.
  const back = Promise.withResolvers<void>()
  const steps: string[] = []
  const watched: typeof agent = {
    name: agent.name,
    info: agent.info,
    async *run(input, context) {
      for await (const value of agent.run(input, context)) {
        if (typeof value !== 'string' && value.type === 'step-finish') {
          steps.push(value.type)
          if (steps.length === 2) await back.promise
        }
        yield value
      }
    },
  }
  const server = createGatewayServer({ agents: [watched], logger: { info() {}, error() {} } })
  const url = await server.listen(0)
  await using _closing = { [Symbol.asyncDispose]: () => server.close(0) }
  await using first = new Shop(url)
  await first.open()
  await using reader = await connectWebSocket({ url: `${url.replace('http', 'ws')}/stream` })
  await reader.request('thread.send', { message: 'go' })
  await first.told.until(({ called }) => called === 'lost')
  await first.kill()
  const upToEnd = await reader.inbox.until((frame) => frame.type === 'tool-call-error')
  await using second = new Shop(url)
  await second.open()
  back.resolve()
  const rest = await reader.inbox.until((frame) => frame.type === 'finish')
  expect(upToEnd.filter(({ type }) => type === 'tool-call-result')).toMatchObject([
    { tool: 'shop_status', result: { order: 'A1', by: first.pid } },
  ])
  expect(upToEnd.at(-1)).toMatchObject({ tool: 'shop_status', error: { code: 'entity-gone' } })
  expect(rest.filter(({ type }) => type === 'tool-call-result')).toMatchObject([
    { result: { order: 'B2', by: second.pid } },
  ])
  expect(rest.at(-1)).toMatchObject({ finishReason: 'stop', text: 'That is all.' })
})
