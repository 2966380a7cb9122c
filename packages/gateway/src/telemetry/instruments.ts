/** The values of a metric's labels. */
export type Labels = Readonly<Record<string, string>>

/** One number of a metric at one moment. */
export interface Sample {
  /** Behind the name of the metric: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string
  readonly labels?: Labels
  readonly value: number
}

/** A metric that can be asked for its numbers. */
export interface Instrument {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  samples(): Iterable<Sample>
}

type Named = Pick<Instrument, 'name' | 'help'>

/** Sets of label values that one counter keeps apart; all further ones are counted together. */
const MAX_SERIES = 200
/** The value of every label where there are too many of them. */
const OTHERS = 'other'

/** A number that only grows. Whoever adds to it often keeps it at hand. */
export class Tally {
  #value = 0

  get value(): number {
    return this.#value
  }

  add(count = 1): void {
    this.#value += count
  }
}

/** Numbers that only grow, one for each set of label values. */
export class Counter<Label extends string> implements Instrument {
  readonly type = 'counter'
  readonly name: string
  readonly help: string
  readonly #labels: readonly Label[]
  readonly #series = new Map<string, { readonly labels: Labels; readonly tally: Tally }>()

  constructor({ name, help, labels }: Named & { readonly labels: readonly Label[] }) {
    this.name = name
    this.help = help
    this.#labels = labels
  }

  /** The number for these values. */
  of(values: Readonly<Record<Label, string>>): Tally {
    const key = JSON.stringify(this.#labels.map((label) => values[label]))
    const known = this.#series.get(key)
    if (known) return known.tally
    if (this.#series.size < MAX_SERIES) return this.#open(key, values)
    return this.#series.get(OTHERS)?.tally ?? this.#open(OTHERS)
  }

  *samples(): Iterable<Sample> {
    for (const { labels, tally } of this.#series.values()) yield { labels, value: tally.value }
  }

  #open(key: string, values?: Readonly<Record<Label, string>>): Tally {
    const tally = new Tally()
    const labels = Object.fromEntries(this.#labels.map((label) => [label, values?.[label] ?? OTHERS]))
    this.#series.set(key, { labels, tally })
    return tally
  }
}

/** How often values fell below each of a few bounds. */
export class Histogram implements Instrument {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly #bounds: readonly number[]
  /** One more than there are bounds: the last is for what is above them all. */
  readonly #counts: number[]
  #sum = 0

  /** The bounds are to be in rising order. */
  constructor({ name, help, bounds }: Named & { readonly bounds: readonly number[] }) {
    this.name = name
    this.help = help
    this.#bounds = bounds
    this.#counts = [...bounds, Infinity].map(() => 0)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let index = 0
    while (index < bounds.length && value > (bounds[index] ?? Infinity)) index++
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
    this.#sum += value
  }

  *samples(): Iterable<Sample> {
    let count = 0
    for (const [index, inBucket] of this.#counts.entries()) {
      count += inBucket
      const bound = this.#bounds[index]
      const le = bound === undefined ? '+Inf' : String(bound)
      yield { suffix: '_bucket', labels: { le }, value: count }
    }
    yield { suffix: '_sum', value: this.#sum }
    yield { suffix: '_count', value: count }
  }
}

/** Numbers that are asked for when somebody looks. */
export class Gauge implements Instrument {
  readonly type = 'gauge'
  readonly name: string
  readonly help: string
  readonly samples: () => Iterable<Sample>

  constructor({ name, help, samples }: Named & Pick<Gauge, 'samples'>) {
    this.name = name
    this.help = help
    this.samples = samples
  }
}
