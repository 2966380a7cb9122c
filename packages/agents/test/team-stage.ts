import { type AgentEvent, textOf } from '@turnpike/protocol'
import { createAgent } from '../src/create-agent.ts'
import { defineAgent } from '../src/define-agent.ts'
import type { RunContext } from '../src/context.ts'
import type { AgentYield, RunInput, RunOutcome, Runnable } from '../src/runnable.ts'
import { Team, type TeamOptions } from '../src/team.ts'
import { ScriptedModel, type Turn } from './scripted-model.ts'

type Run = (input: RunInput, context: RunContext) => AsyncGenerator<AgentYield, RunOutcome<string> | void>

/** An agent out of a generator. */
export function member(name: string, run: Run): Runnable<string> {
  return defineAgent({ name, register: false, run })
}

/** An agent that says this, word by word, and keeps what it was asked. */
export function sayer(name: string, words: string, asked: RunInput[] = []): Runnable<string> {
  return member(name, async function* (input) {
    asked.push(input)
    for (const word of words.split(/(?<= )/)) {
      await new Promise(setImmediate)
      yield word
    }
  })
}

/** An agent on a scripted model. */
export function scripted(
  name: string,
  ...turns: Turn[]
): Runnable & { readonly asked: ScriptedModel['asked'] } {
  const model = new ScriptedModel(...turns)
  const agent = createAgent({ name, model, register: false })
  return { name, info: agent.info, run: (input, context) => agent.run(input, context), asked: model.asked }
}

export function team(agents: readonly Runnable[], options: Partial<TeamOptions> = {}): Team {
  return new Team({ name: 'team', agents, register: false, ...options })
}

/** What was said, by whom, with what one says in a row joined: `writer: Hello`. */
export function said(values: readonly AgentYield[], channel = 'answer'): string[] {
  const lines: { agent: string; text: string }[] = []
  for (const value of values) {
    const delta = textDeltaOf(value)
    if (delta?.channel !== channel) continue
    const agent = delta.agent ?? ''
    const last = lines.at(-1)
    if (last?.agent === agent) last.text += delta.delta
    else lines.push({ agent, text: delta.delta })
  }
  return lines.map(({ agent, text }) => `${agent}: ${text}`)
}

function textDeltaOf(value: AgentYield): Extract<AgentEvent, { type: 'text-delta' }> | undefined {
  if (typeof value === 'string') return { type: 'text-delta', delta: value, channel: 'answer' }
  return value.type === 'text-delta' ? value : undefined
}

/** The text of a run's input, which its message says, too. */
export function askedOf(input: RunInput | undefined): string {
  return input && input.text === textOf(input.message) ? input.text : 'not the same'
}
