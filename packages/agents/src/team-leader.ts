import { GatewayError } from '@turnpike/protocol'
import * as z from 'zod/mini'
import { Agent } from './agent.ts'
import { MemberRun } from './member-run.ts'
import type { Model } from './model.ts'
import type { AgentYield, RunInput, RunOutcome, Runnable } from './runnable.ts'
import type { TeamPlan } from './team-modes.ts'
import type { TeamRun } from './team-run.ts'
import { type ToolContext, type ToolDef, defineTool } from './tool.ts'

/** What every provider takes as the name of a tool. */
const TOOL_NAME_CHARS = 64

export interface Leadership extends TeamPlan {
  readonly name: string
  readonly model: Model
  /** What the model is told beside who the members are. */
  readonly instructions: string | undefined
}

/** The model picks one member, who answers. */
export async function* byRoute(run: TeamRun, plan: Leadership): AsyncGenerator<AgentYield, RunOutcome> {
  const name = run.resumed[0] ?? (yield* pick(run, plan))
  const agent = plan.members.find((member) => member.name === name)
  if (!agent)
    throw new GatewayError('internal', 'The run cannot go on: its agent is not in the team any more.')
  run.take(yield* run.member(agent))
  return run.outcome(run.answers[0]?.output)
}

/** One that the team does not have is asked for again, once. */
async function* pick(
  run: TeamRun,
  { name, model, instructions, members }: Leadership,
): AsyncGenerator<AgentYield, string> {
  const agent = new Agent({
    name,
    model,
    register: false,
    maxSteps: 2,
    instructions: toldOf(members, [
      'You pass each message of the user on to the one member of your team that can answer it best.',
      instructions,
      'Say whom you choose, by the exact name.',
    ]),
    output: z.object({ member: z.enum(members.map((member) => member.name)) }),
  })
  const { settings: _, ...input } = run.inputAfter([])
  const router = new MemberRun({ group: run.group, agent, tells: 'nothing', canPark: false, isLeader: true })
  const end = yield* router.run(input)
  run.group.signal.throwIfAborted()
  const chosen = Chosen.safeParse(end.type === 'done' ? end.answer.output : undefined)
  if (chosen.success) return chosen.data.member
  throw new GatewayError('invalid-output', 'The model of the team has chosen none of its members.')
}

const Chosen = z.object({ member: z.string() })

/** The model leads: it asks members, as often as it wants, and answers. */
export async function* byLeader(run: TeamRun, plan: Leadership): AsyncGenerator<AgentYield, RunOutcome> {
  const { name, model, instructions, members } = plan
  const names = askTools(members)
  const asked: Promise<unknown>[] = []
  const agent = new Agent({
    name,
    model,
    register: false,
    instructions: toldOf(members, [
      'You lead a team. Ask its members for what they can do best, several at once where that helps, and then answer',
      'the user yourself. A member sees nothing but your message to it.',
      instructions,
    ]),
    tools: members.map((member, index) =>
      askTool(run, { ...plan, agent: member, tool: names[index] ?? '', asked }),
    ),
  })
  const leader = new MemberRun({ group: run.group, agent, tells: 'answer', canPark: false, isLeader: true })
  try {
    run.take(yield* leader.run(run.inputAfter([])))
  } finally {
    // A leader that was stopped has left them; they still clean up.
    await Promise.allSettled(asked)
  }
  return run.outcome()
}

/** The names of the tools that ask the members, in their order: `ask_` and the member's name, as far as it can be one. */
export function askTools(members: readonly Runnable[]): string[] {
  const names: string[] = []
  for (const { name } of members) {
    const base = `ask_${name.replaceAll(/[^\w-]/g, '_')}`.slice(0, TOOL_NAME_CHARS)
    let unique = base
    for (let count = 2; names.includes(unique); count++) {
      unique = `${base.slice(0, TOOL_NAME_CHARS - 4)}_${count}`
    }
    names.push(unique)
  }
  return names
}

function askTool(
  run: TeamRun,
  plan: Leadership & { tool: string; agent: Runnable; asked: Promise<unknown>[] },
): ToolDef {
  const { tool, agent, asked } = plan
  return defineTool({
    name: tool,
    description: agent.info.description ?? `Asks ${agent.name}, a member of the team.`,
    parameters: z.object({ message: z.string().check(z.minLength(1)) }),
    // It ends with its own limits, and may wait for somebody to approve something.
    timeoutMs: Infinity,
    execute: ({ message }, context) => {
      const answer = ask(run, plan, { message, context })
      asked.push(answer)
      return answer
    },
  })
}

async function ask(
  run: TeamRun,
  { agent, answer }: Leadership & { agent: Runnable },
  { message: text, context }: { message: string; context: ToolContext },
): Promise<unknown> {
  const { group } = run
  const part = new MemberRun({
    group,
    agent,
    tells: answer === 'all' ? 'answer' : 'reasoning',
    canPark: false,
    signal: context.signal,
  })
  const events = part.run(taskOf(text, run.inputAfter([])))
  try {
    for (;;) {
      const next = await events.next()
      if (next.done)
        return next.value.type === 'done' ? (next.value.answer.output ?? next.value.answer.text) : null
      group.context.emit(next.value)
    }
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    throw new GatewayError('tool-failed', error.message, { cause: error })
  }
}

/** What a member is asked: the leader's words, with the files of the user. */
function taskOf(text: string, { message, settings }: RunInput): RunInput {
  const files = message.parts.filter((part) => part.type === 'file')
  const task = { ...message, parts: [{ type: 'text' as const, text }, ...files] }
  return { text, message: task, history: [], ...(settings && { settings }) }
}

function toldOf(members: readonly Runnable[], told: readonly (string | undefined)[]): string {
  const list = members.map(({ name, info }) => `- ${name}${info.description ? `: ${info.description}` : ''}`)
  return [...told.filter((each) => each !== undefined), '', 'The members:', ...list].join('\n')
}
