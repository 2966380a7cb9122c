import type { AgentEvent } from '@turnpike/protocol'
import * as z from 'zod/mini'
import { untilAborted } from './abortable.ts'
import type { ApprovalDecision, ApprovalRequest, Approvals } from './approvals.ts'
import type { RunContext } from './context.ts'
import { failureOf } from './failure.ts'
import { HeldApprovals } from './held-approvals.ts'
import { MemberEvents } from './member-events.ts'
import { MemberPull } from './member-pull.ts'
import type { RunGroup } from './run-group.ts'
import type { MemberAnswer, RunInput, RunOutcome, Runnable } from './runnable.ts'
import { RunUsage } from './usage.ts'

/** A member that waits for approvals, as JSON. */
export const ParkedMember = z.object({
  agent: z.string(),
  turn: z.int(),
  /** The member's own. */
  state: z.unknown(),
  approvals: z.array(z.string()),
  /** What it has said and used so far. */
  text: z.string(),
  usage: RunUsage,
})
export type ParkedMember = z.infer<typeof ParkedMember>

/** What became of a member's part of the run. */
export type MemberEnd =
  | {
      readonly type: 'done'
      readonly answer: MemberAnswer
      readonly finishReason: NonNullable<RunOutcome['finishReason']>
    }
  | { readonly type: 'parked'; readonly parked: ParkedMember }

export interface MemberRunOptions {
  readonly group: RunGroup
  readonly agent: Runnable
  /** Where its answer goes: into the run's answer, into its reasoning, or nowhere. */
  readonly tells: 'answer' | 'reasoning' | 'nothing'
  /** Whether it may be parked; else it waits for approvals in this process. */
  readonly canPark: boolean
  /** Whether it speaks for the run itself, while nobody else does: its events name no agent. */
  readonly isLeader?: boolean
  /** Ends it before the run. @default the group's */
  readonly signal?: AbortSignal
  /** Present where it goes on from there. */
  readonly parked?: ParkedMember
}

/**
 * The run of an agent as a part of another run.
 *
 * What it reports becomes the larger run's: it names the agent, its steps are counted on, and its calls of tools have ids
 * that no other member's have.
 */
export class MemberRun {
  readonly #options: MemberRunOptions
  readonly #turn: number
  readonly #events: MemberEvents
  readonly #context: RunContext
  readonly #held: HeldApprovals
  #approvals: string[] = []
  #isParked = false
  /** By itself; or it is parked. */
  #hasEnded = false

  constructor(options: MemberRunOptions) {
    const { group, parked, signal = group.signal } = options
    this.#options = options
    this.#turn = parked?.turn ?? group.nextTurn()
    const { name } = options.agent
    this.#events = new MemberEvents({ ...options, name, turn: this.#turn, signal }, parked)
    const approvals = this.#translated(group.context.approvals)
    this.#held = new HeldApprovals(approvals)
    this.#context = group.contextOf({
      ...group.context,
      signal,
      emit: (event) => this.#emit(event),
      approvals: options.canPark ? approvals : this.#held,
    })
  }

  /** @throws GatewayError that names the member, with the code of what it failed with */
  async *run(input: RunInput): AsyncGenerator<AgentEvent, MemberEnd> {
    const { group, agent, canPark, parked } = this.#options
    const { signal } = this.#context
    const endTurn = (): void => group.tell(group.speech.end(this.#turn))
    // One that was stopped holds nobody back, however long it takes to end.
    signal.addEventListener('abort', endTurn, { once: true })
    let usage: RunUsage | undefined
    let current = parked ? { ...input, resume: this.#resumeOf(parked, input) } : input
    try {
      for (;;) {
        const outcome = yield* this.#pull(current)
        this.#hasEnded = !signal.aborted
        if (!outcome.parked) {
          usage = outcome.usage
          return this.#done(outcome)
        }
        const { state } = outcome.parked
        if (canPark) return this.#park(state)
        this.#hasEnded = false
        current = { ...input, resume: { state, decisions: await this.#decided() } }
      }
    } catch (error) {
      throw signal.aborted ? error : failureOf(`The agent ${JSON.stringify(agent.name)}`, error)
    } finally {
      signal.removeEventListener('abort', endTurn)
      endTurn()
      if (!this.#hasEnded) group.tell(this.#events.close())
      // One that is parked counts once it goes on.
      if (!this.#isParked) group.addUsage(usage ?? this.#events.usage)
    }
  }

  async *#pull(input: RunInput): AsyncGenerator<AgentEvent, RunOutcome> {
    const { agent } = this.#options
    const member = new MemberPull(() => agent.run(input, this.#context), this.#context)
    try {
      for (;;) {
        const next = await member.next()
        if (next.done) return next.value ?? {}
        const told = this.#events.of(next.value)
        if (told !== undefined) yield told
      }
    } finally {
      await member.close()
    }
  }

  #done({ output, finishReason = 'stop' }: RunOutcome): MemberEnd {
    const { text } = this.#events
    const answer = { agent: this.#options.agent.name, text, ...(output !== undefined && { output }) }
    return { type: 'done', answer, finishReason }
  }

  #park(state: unknown): MemberEnd {
    this.#isParked = true
    const { text, usage } = this.#events
    const { name: agent } = this.#options.agent
    const parked = { agent, turn: this.#turn, state: state ?? null, approvals: this.#approvals, text, usage }
    return { type: 'parked', parked }
  }

  async #decided(): Promise<ApprovalDecision[]> {
    const decisions = await untilAborted(this.#held.decided(), this.#context.signal)
    if (decisions.length === 0) throw new Error('The agent parked without asking for an approval.')
    return decisions
  }

  /** Of all decisions, those that are this member's. */
  #resumeOf({ state, approvals }: ParkedMember, { resume }: RunInput): NonNullable<RunInput['resume']> {
    const mine = (resume?.decisions ?? []).filter(({ approvalId }) => approvals.includes(approvalId))
    const decisions = mine.map((decision) => this.#backTranslated(decision))
    for (const { toolCallId } of decisions) this.#events.reopen(toolCallId)
    return { state, decisions }
  }

  /** May be called from anywhere, and never throws: what is no event goes on as it is, for the gateway to refuse. */
  #emit(event: AgentEvent): void {
    const told = this.#toldOf(event)
    if (told !== undefined) this.#options.group.context.emit(told)
  }

  #toldOf(event: AgentEvent): AgentEvent | undefined {
    try {
      return this.#events.of(event)
    } catch {
      return event
    }
  }

  #translated(approvals: Approvals): Approvals {
    const outer = (request: ApprovalRequest): ApprovalRequest => ({
      ...request,
      toolCallId: this.#events.outerId(request.toolCallId),
    })
    return {
      request: async (request) => this.#backTranslated(await approvals.request(outer(request))),
      open: async (request) => {
        const approvalId = await approvals.open(outer(request))
        this.#approvals.push(approvalId)
        return approvalId
      },
    }
  }

  #backTranslated(decision: ApprovalDecision): ApprovalDecision {
    return { ...decision, toolCallId: this.#events.innerId(decision.toolCallId) }
  }
}
