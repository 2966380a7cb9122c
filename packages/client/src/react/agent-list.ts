import type { GatewayError } from '@turnpike/protocol'
import type { Client } from '../client.ts'
import type { AgentInfo } from '../threads.ts'
import { asGatewayError } from './as-gateway-error.ts'
import { Listeners } from './listeners.ts'

export interface AgentListState {
  /** The first one is the default. */
  readonly agents: readonly AgentInfo[]
  readonly error: GatewayError | undefined
  readonly isLoading: boolean
}

const INITIAL: AgentListState = { agents: [], error: undefined, isLoading: true }

/** The agents that a gateway serves, asked for once for everybody who shows them. */
export class AgentList {
  readonly #client: Client
  readonly #listeners = new Listeners()
  #state = INITIAL
  #asked: AbortController | undefined
  #isLoaded = false

  constructor(client: Client) {
    this.#client = client
  }

  readonly getState = (): AgentListState => this.#state

  readonly getInitial = (): AgentListState => INITIAL

  readonly onChange = (listener: () => void): (() => void) => {
    const remove = this.#listeners.add(listener)
    if (!this.#isLoaded && !this.#asked) void this.reload()
    return () => {
      remove()
      queueMicrotask(() => {
        if (this.#listeners.size > 0) return
        this.#asked?.abort()
        this.#asked = undefined
      })
    }
  }

  /** Asks again; what is known stays until the answer is here. */
  readonly reload = async (): Promise<void> => {
    const asked = new AbortController()
    this.#asked?.abort()
    this.#asked = asked
    this.#become({ ...this.#state, isLoading: true })
    const outcome = await this.#client.agents.list({ signal: asked.signal }).then(
      (agents) => ({ agents, error: undefined }),
      (error) => ({ agents: this.#state.agents, error: asGatewayError(error) }),
    )
    if (this.#asked !== asked) return
    this.#asked = undefined
    this.#isLoaded = outcome.error === undefined
    this.#become({ ...outcome, isLoading: false })
  }

  #become(state: AgentListState): void {
    this.#state = state
    this.#listeners.tell()
  }
}
