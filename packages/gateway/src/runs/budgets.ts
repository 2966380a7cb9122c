import { GatewayError } from '@turnpike/protocol'
import type { RunRecord, RunStore } from '../stores/store.ts'
import { ANONYMOUS, ownedKey } from '../stores/thread-ref.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** When to look again where it is not known when there will be room. */
const RETRY_MS = 1_000

/** What the runs of one user may take, on whichever connections and wires they are asked for; 0 is no limit. */
export interface UserBudget {
  /** Runs taken on within any minute. Above it: `rate-limited`. */
  readonly runsPerMinute?: number | undefined
  /** Tokens that models report, in and out, within any 24 hours. From there on: `budget-exhausted`. */
  readonly tokensPerDay?: number | undefined
  /** Runs that go on at once; those that wait for their turn or for approval do not count. Above it: `too-many-runs`. */
  readonly concurrentRuns?: number | undefined
}

/** Who sent a message, and for whom. */
export type Payer = Pick<RunRecord, 'principal' | 'chargedTo'>

/** How a run is taken on. */
export interface Spending<Result> {
  /** Resolves once the store knows what the user's runs have used until now. */
  readonly stored: () => Promise<unknown>
  readonly takeOn: () => Promise<Result>
}

/**
 * What tells one user's budget from another's: who has authenticated, or whom an anonymous sender has named. Undefined
 * for who is nobody in particular. The two kinds never meet, so nobody can use up another's budget by a name.
 */
function budgetKey({ principal, chargedTo }: Payer): string | undefined {
  if (principal.id !== ANONYMOUS.id) return ownedKey(principal.id, '')
  return chargedTo === undefined ? undefined : ownedKey(ANONYMOUS.id, chargedTo)
}

/** Whether what both send is taken from one budget. */
export function isSamePayer(one: Payer, other: Payer): boolean {
  return one.principal.id === other.principal.id && one.chargedTo === other.chargedTo
}

/** Holds users to their budgets by what the store knows of their runs, so that a restart forgives nothing. */
export class Budgets {
  readonly #runs: Pick<RunStore, 'usage'>
  readonly #budget: Readonly<Record<keyof UserBudget, number>>
  /** What is being decided for each user: two messages at once would both find room for one. */
  readonly #turns = new Map<string, Promise<void>>()

  /** @throws RangeError where a number is none that can be counted to */
  constructor(runs: Pick<RunStore, 'usage'>, budget: UserBudget = {}) {
    for (const [name, value] of Object.entries(budget)) {
      if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue
      throw new RangeError(`"${name}" of a budget has to be a whole number from 0 on, got ${String(value)}.`)
    }
    this.#runs = runs
    const { runsPerMinute, tokensPerDay, concurrentRuns } = budget
    this.#budget = {
      runsPerMinute: runsPerMinute || Infinity,
      tokensPerDay: tokensPerDay || Infinity,
      concurrentRuns: concurrentRuns || Infinity,
    }
  }

  /**
   * Lets a run be taken on, if its user may have it, and lets the user's next one wait until that is done.
   *
   * @throws GatewayError `rate-limited` | `budget-exhausted`
   */
  async spend<Result>(payer: Payer, { stored, takeOn }: Spending<Result>): Promise<Result> {
    const key = budgetKey(payer)
    const isBound = Math.min(...Object.values(this.#budget)) < Infinity
    if (key === undefined || !isBound) return takeOn()
    const before = this.#turns.get(key)
    const turn = Promise.withResolvers<void>()
    this.#turns.set(key, turn.promise)
    try {
      await before
      await stored()
      await this.#assertRuns(payer)
      const refusal = await this.#tokenRefusal(payer)
      if (refusal) throw refusal
      return await takeOn()
    } finally {
      turn.resolve()
      if (this.#turns.get(key) === turn.promise) this.#turns.delete(key)
    }
  }

  /** @param going - How many runs of that user go on. */
  hasRoom(payer: Payer, going: number): boolean {
    return going < this.#budget.concurrentRuns || budgetKey(payer) === undefined
  }

  /**
   * Why a run that has waited may not begin: what came before it has used everything.
   *
   * @returns A `budget-exhausted`, or undefined.
   */
  async refusalOf(payer: Payer, stored: Spending<unknown>['stored']): Promise<GatewayError | undefined> {
    if (this.#budget.tokensPerDay === Infinity || budgetKey(payer) === undefined) return undefined
    await stored()
    return this.#tokenRefusal(payer)
  }

  /** @throws GatewayError `too-many-runs` where there is no room */
  assertRoom(payer: Payer, going: number): void {
    const { concurrentRuns } = this.#budget
    if (this.hasRoom(payer, going)) return
    throw new GatewayError('too-many-runs', `A user may have ${concurrentRuns} runs going on at once.`, {
      retryAfterMs: RETRY_MS,
    })
  }

  async #assertRuns({ principal, chargedTo }: Payer): Promise<void> {
    const { runsPerMinute } = this.#budget
    if (runsPerMinute === Infinity) return
    const since = Date.now() - MINUTE_MS
    const { runs, firstAt } = await this.#runs.usage(principal.id, since, chargedTo)
    if (runs < runsPerMinute) return
    throw new GatewayError('rate-limited', `A user may have ${runsPerMinute} runs a minute.`, {
      retryAfterMs: untilRoom(firstAt, MINUTE_MS),
    })
  }

  async #tokenRefusal({ principal, chargedTo }: Payer): Promise<GatewayError | undefined> {
    const { tokensPerDay } = this.#budget
    if (tokensPerDay === Infinity) return undefined
    const since = Date.now() - DAY_MS
    const { inputTokens, outputTokens, firstAt } = await this.#runs.usage(principal.id, since, chargedTo)
    if (inputTokens + outputTokens < tokensPerDay) return undefined
    return new GatewayError('budget-exhausted', `A user may use ${tokensPerDay} tokens a day.`, {
      retryAfterMs: untilRoom(firstAt, DAY_MS),
    })
  }
}

/** Until the first of what counts is so long ago that it does not count any more. */
function untilRoom(firstAt: number | undefined, windowMs: number): number {
  return firstAt === undefined ? windowMs : Math.max(1, firstAt + windowMs + 1 - Date.now())
}
