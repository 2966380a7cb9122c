import { type RunInput, type Runnable, defineAgent } from '@turnpike/agents'
import { type Gateway, type ServedAgents, createAgentWebSocketHandler } from '@turnpike/gateway'
import type { WebSocketConnectionManager } from '@turnpike/gateway/manager'
import { testGateway } from './harness.ts'
import { type Client, openClient, serveManager } from './manager-server.ts'

export type Told = Readonly<Record<string, unknown>> & { readonly type: string }

export interface ServedAgentSockets extends AsyncDisposable {
  readonly gateway: Gateway
  readonly url: string
  readonly manager: WebSocketConnectionManager
  connect(query?: string): Promise<Client>
}

/** A manager with the agent handler at `/ws`. */
export async function serveAgents(
  agents: ServedAgents,
  options: Parameters<typeof serveManager>[0] & { gateway?: Gateway } = {},
): Promise<ServedAgentSockets> {
  const { gateway = testGateway([]), ...config } = options
  const handler = createAgentWebSocketHandler(agents, { gateway })
  const served = await serveManager({ ...config, handler })
  return {
    gateway,
    url: served.url,
    manager: served.manager,
    connect: (query = '') => openClient(`${served.url}${query}`),
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]()
      await gateway.drain(0)
    },
  }
}

/** Messages up to the first of one of these types, without `connected`. */
export async function until(client: Client, ...types: string[]): Promise<Told[]> {
  const told: Told[] = []
  for (;;) {
    const message = (await client.inbox.next()) as Told
    if (message.type !== 'connected') told.push(message)
    if (types.includes(message.type)) return told
  }
}

export function chunksOf(told: readonly Told[]): string {
  return told.map(({ content = '' }) => String(content)).join('')
}

/** An agent that writes down what it is given. */
export function settingsAgent(inputs: RunInput[]): Runnable {
  return defineAgent({
    name: 'settings',
    register: false,
    async *run(input) {
      inputs.push(input)
      yield 'done'
    },
  })
}

/** An agent that goes on until it is stopped. */
export function endlessAgent(name: string): Runnable {
  return defineAgent({
    name,
    register: false,
    async *run(_input, { signal }) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      yield ''
    },
  })
}
