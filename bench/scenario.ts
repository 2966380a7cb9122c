/** One number that a scenario tells, and the most it may be. */
export interface FigureSpec {
  readonly unit: string
  /** The target: what is measured is met where its median is not above. */
  readonly atMost?: number
}

/** What one round measured, by the names of the figures. */
export type Round = Readonly<Record<string, number>>

export interface RoundOptions {
  /** 0, 1, … */
  readonly round: number
  /** Where a profile of a server's CPU goes, if one is asked for. */
  readonly profile?: ((server: string) => string) | undefined
}

/** Something to be measured. All peers take part in each round, so that ratios are of one time. */
export interface Scenario {
  readonly name: string
  readonly title: string
  readonly figures: Readonly<Record<string, FigureSpec>>
  readonly round: (options: RoundOptions) => Promise<Round>
}

/** What one figure came to over all rounds. */
export interface Figure extends FigureSpec {
  readonly scenario: string
  readonly name: string
  readonly median: number
  readonly min: number
  readonly max: number
  readonly rounds: number
}

/** The peers of a round, each time beginning with another one. */
export function rotated<Item>(items: readonly Item[], { round }: RoundOptions): readonly Item[] {
  const first = round % items.length
  return [...items.slice(first), ...items.slice(0, first)]
}

/** Brings the rounds of a scenario together; a figure that no round has is left out. */
export function figuresOf({ name: scenario, figures }: Scenario, rounds: readonly Round[]): Figure[] {
  return Object.entries(figures).flatMap(([name, spec]) => {
    const values = rounds.map((round) => round[name]).filter((value) => value !== undefined)
    const [min] = values.sort((a, b) => a - b)
    const max = values.at(-1)
    if (min === undefined || max === undefined) return []
    return [{ scenario, name, ...spec, median: quantile(values, 0.5), min, max, rounds: values.length }]
  })
}

/** The value below which this share of sorted values is. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = (sorted.length - 1) * share
  const low = sorted[Math.floor(at)] ?? NaN
  return low + ((sorted[Math.ceil(at)] ?? low) - low) * (at - Math.floor(at))
}
