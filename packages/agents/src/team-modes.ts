import { randomUUID } from 'node:crypto'
import { type AgentEvent, GatewayError } from '@turnpike/protocol'
import type { MemberEnd } from './member-run.ts'
import type { AgentYield, RunOutcome, Runnable } from './runnable.ts'
import { sideBySide } from './side-by-side.ts'
import type { TeamRun } from './team-run.ts'

/** What a way to work together needs to know of its team. */
export interface TeamPlan {
  readonly members: readonly Runnable[]
  /** Whose text is the answer: everybody's, or only the last one's. */
  readonly answer: 'all' | 'last'
}

/** One after the other: each is told what those before it have answered. */
export async function* inSequence(
  run: TeamRun,
  { members, answer }: TeamPlan,
): AsyncGenerator<AgentYield, RunOutcome> {
  for (const agent of members.slice(run.answers.length)) {
    const tells = answer === 'all' || agent === members.at(-1) ? 'answer' : 'reasoning'
    run.take(yield* run.member(agent, { tells, earlier: run.answers }))
    if (run.isParked) break
  }
  return run.outcome(run.answers.at(-1)?.output)
}

type SettledEnd = MemberEnd | { readonly type: 'failed'; readonly error: unknown }

/** All at once. One that fails is told of, and the others go on; where all fail, the run does. */
export async function* inParallel(
  run: TeamRun,
  { members }: TeamPlan,
): AsyncGenerator<AgentYield, RunOutcome> {
  const { resumed } = run
  const working = resumed.length > 0 ? members.filter(({ name }) => resumed.includes(name)) : members
  const { group } = run
  const ends = yield* sideBySide(
    working.map((agent) => settled(run, agent)),
    { stop: () => group.end(), tell: (event) => group.context.emit(event) },
  )
  const errors: unknown[] = []
  for (const end of ends) {
    if (end.type === 'failed') errors.push(end.error)
    else run.take(end)
  }
  if (run.answers.length === 0 && !run.isParked) throw errors[0]
  return run.outcome()
}

async function* settled(run: TeamRun, agent: Runnable): AsyncGenerator<AgentEvent, SettledEnd> {
  try {
    return yield* run.member(agent)
  } catch (error) {
    if (run.group.signal.aborted) throw error
    const message = error instanceof GatewayError ? error.message : 'The agent failed.'
    const background = { id: randomUUID(), name: agent.name, status: 'failed' as const, progress: 0, message }
    yield { type: 'run-update', background }
    return { type: 'failed', error }
  }
}
