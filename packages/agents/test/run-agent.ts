import type { Message } from '@turnpike/protocol'
import { AgentEvent } from '@turnpike/protocol/wire'
import { expect } from 'vitest'
import { z } from 'zod'
import type { Agent, AgentOptions } from '../src/agent.ts'
import type { ApprovalRequest } from '../src/approvals.ts'
import type { RunContext } from '../src/context.ts'
import { createAgent } from '../src/create-agent.ts'
import type { AgentYield, RunInput, RunOutcome, Runnable } from '../src/runnable.ts'
import { type ToolDef, defineTool } from '../src/tool.ts'
import { ScriptedModel, type Turn } from './scripted-model.ts'

export function user(text: string): Message {
  return { id: 'u', role: 'user', parts: [{ type: 'text', text }], status: 'done', createdAt: 0 }
}

export function inputOf(message: Message = user('hi'), history: readonly Message[] = []): RunInput {
  return { text: 'hi', message, history }
}

export function testAgent(
  options: Omit<AgentOptions, 'name' | 'llm'> & { model: NonNullable<AgentOptions['model']> },
): Agent {
  return createAgent({ name: 'a', register: false, ...options })
}

/** What a gateway would be to a run: it keeps what was reported, in order, and what approval was asked for. */
export class Stage {
  readonly yields: AgentYield[] = []
  readonly requests: ApprovalRequest[] = []
  readonly abort = new AbortController()
  outcome: RunOutcome | undefined
  #heard = Promise.withResolvers<void>()

  readonly context: RunContext = {
    runId: 'run',
    threadId: 'thread',
    principal: { id: 'anonymous' },
    signal: this.abort.signal,
    emit: (event) => this.#take(event),
    background: () => 'operation',
    approvals: {
      request: () => Promise.reject(new Error('not here')),
      open: (request) => {
        this.requests.push(request)
        return Promise.resolve(`approve-${request.toolCallId}`)
      },
    },
    artifacts: { create: never, update: never, get: never },
    memories: { write: never, recall: never },
  }

  async play(agent: Runnable, input: RunInput = inputOf()): Promise<RunOutcome> {
    const run = agent.run(input, this.context)[Symbol.asyncIterator]()
    for (;;) {
      const next = await run.next()
      if (next.done) return (this.outcome = next.value ?? {})
      this.#take(next.value)
    }
  }

  /** Resolves once something was reported of which `test` is true. */
  async until(test: (value: AgentYield) => boolean): Promise<void> {
    while (!this.yields.some(test)) {
      await this.#heard.promise
      this.#heard = Promise.withResolvers<void>()
    }
  }

  get text(): string {
    return this.yields.filter((value) => typeof value === 'string').join('')
  }

  get events(): Exclude<AgentYield, string>[] {
    return this.yields.filter((value) => typeof value !== 'string')
  }

  /** The types in their order; text as `text`. */
  get types(): string[] {
    return this.yields.map((value) => (typeof value === 'string' ? 'text' : value.type))
  }

  of<Type extends Exclude<AgentYield, string>['type']>(
    type: Type,
  ): Extract<Exclude<AgentYield, string>, { type: Type }>[] {
    return this.events.filter((event) => isOf(event, type))
  }

  #take(value: AgentYield): void {
    this.yields.push(value)
    this.#heard.resolve()
  }
}

function isOf<Type extends Exclude<AgentYield, string>['type']>(
  event: Exclude<AgentYield, string>,
  type: Type,
): event is Extract<Exclude<AgentYield, string>, { type: Type }> {
  return event.type === type
}

function never(): Promise<never> {
  return Promise.reject(new Error('not here'))
}

export const add = defineTool({
  name: 'add',
  description: 'Adds two numbers.',
  parameters: z.object({ a: z.number(), b: z.number() }),
  execute: ({ a, b }) => a + b,
})

export function tool(name: string, execute: ToolDef['execute'], more: Partial<ToolDef> = {}): ToolDef {
  return defineTool({ name, description: name, parameters: z.object({}), execute, ...more })
}

/** Plays a script to its end; what is reported on the way has to be valid. */
export async function play(
  tools: ToolDef[],
  ...turns: Turn[]
): Promise<{ stage: Stage; model: ScriptedModel }> {
  const model = new ScriptedModel(...turns)
  const stage = new Stage()
  await stage.play(testAgent({ model, tools, toolTimeoutMs: 2_000 }))
  for (const event of stage.events) expect(AgentEvent.parse(event)).toEqual(event)
  return { stage, model }
}
