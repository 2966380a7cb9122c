import { GatewayError, Message, textOf } from '@turnpike/protocol'
import * as z from 'zod/mini'
import type { RunContext } from './context.ts'
import { type MemberEnd, MemberRun, type MemberRunOptions, ParkedMember } from './member-run.ts'
import { GroupProgress, RunGroup } from './run-group.ts'
import { RunSettings } from './run-state.ts'
import type { MemberAnswer, RunInput, RunOutcome, Runnable } from './runnable.ts'

const ParkedTeam = z.object({
  version: z.literal(1),
  progress: GroupProgress,
  answers: z.array(z.object({ agent: z.string(), text: z.string(), output: z.optional(z.unknown()) })),
  parked: z.array(ParkedMember),
  /** For the members whose turn is still to come. */
  history: z.array(Message),
  settings: z.optional(RunSettings),
})

/** One run of a team: what its members have come to. */
export class TeamRun {
  readonly group: RunGroup
  readonly answers: MemberAnswer[] = []
  readonly #input: RunInput
  readonly #parked: readonly ParkedMember[]
  #waiting: ParkedMember[] = []
  #finishReason: NonNullable<RunOutcome['finishReason']> = 'stop'

  /** @throws GatewayError `internal` where it is to go on from something else than a parked team */
  constructor(input: RunInput, context: RunContext) {
    const { text, message, history, settings } = input
    const state = input.resume && unpark(input.resume.state)
    this.group = new RunGroup(context, { history, progress: state?.progress })
    this.answers.push(...(state?.answers ?? []))
    this.#parked = state?.parked ?? []
    const kept = state?.settings ?? settings
    const given = { text, message, history: state?.history ?? history, ...(kept && { settings: kept }) }
    this.#input = input.resume ? { ...given, resume: input.resume } : given
  }

  /** Those that go on from where they were parked; none where the run begins. */
  get resumed(): readonly string[] {
    return this.#parked.map(({ agent }) => agent)
  }

  /** What a member is asked that begins now: the user's message, and what others have answered to it. */
  inputAfter(earlier: readonly MemberAnswer[]): RunInput {
    const { resume: _, ...input } = this.#input
    if (earlier.length === 0) return input
    const answers = earlier.map(({ agent, text }) => `## ${agent}\n\n${text}`)
    const told = ['\nWhat others have answered so far:', ...answers].join('\n\n')
    const message = {
      ...input.message,
      parts: [...input.message.parts, { type: 'text' as const, text: told }],
    }
    return { ...input, text: textOf(message), message, earlier: [...earlier] }
  }

  /**
   * The part of a member; one that was parked goes on with what was decided, and is asked what it was asked before.
   *
   * @param options.earlier - What others have answered before it.
   */
  member(
    agent: Runnable,
    {
      tells = 'answer',
      earlier = [],
    }: Partial<Pick<MemberRunOptions, 'tells'> & Required<Pick<RunInput, 'earlier'>>> = {},
  ): ReturnType<MemberRun['run']> {
    const { resume } = this.#input
    const parked = this.#parked.find((each) => each.agent === agent.name)
    const part = new MemberRun({
      group: this.group,
      agent,
      tells,
      canPark: true,
      ...(parked && { parked }),
    })
    const input = this.inputAfter(earlier)
    return part.run(parked && resume ? { ...input, resume } : input)
  }

  /** @throws the signal's reason where the run was stopped meanwhile */
  take(end: MemberEnd): void {
    this.group.signal.throwIfAborted()
    if (end.type === 'parked') this.#waiting.push(end.parked)
    else {
      this.answers.push(end.answer)
      if (end.finishReason !== 'stop') this.#finishReason = end.finishReason
    }
  }

  /** Whether somebody has to decide before it can go on. */
  get isParked(): boolean {
    return this.#waiting.length > 0
  }

  outcome(output?: unknown): RunOutcome {
    if (this.isParked) return { parked: { state: this.#state() } }
    const { usage } = this.group
    return { finishReason: this.#finishReason, usage, ...(output !== undefined && { output }) }
  }

  #state(): z.infer<typeof ParkedTeam> {
    const { history, settings } = this.#input
    return {
      version: 1,
      progress: this.group.progress,
      answers: this.answers,
      parked: this.#waiting,
      history: [...history],
      settings,
    }
  }
}

function unpark(json: unknown): z.infer<typeof ParkedTeam> {
  const parsed = ParkedTeam.safeParse(json)
  if (parsed.success) return parsed.data
  throw new GatewayError('internal', 'The run cannot go on: its state is not readable.', {
    cause: parsed.error,
  })
}
