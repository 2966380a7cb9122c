/** A source of numbers that gives the same ones for the same seed. */
export interface Random {
  /** At least 0, below 1. */
  next(): number
  /** A whole number; both bounds may come up. */
  int(min: number, max: number): number
  /** @throws RangeError where the list is empty */
  pick<Item>(list: readonly Item[]): Item
  /** A source of its own: what is drawn from it does not move this one. */
  fork(): Random
}

/** Makes a seeded source (mulberry32): for schedules that can be repeated, not for secrets. */
export function createRandom(seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const int = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1))
  return {
    next,
    int,
    pick(list) {
      if (list.length === 0) throw new RangeError('There is nothing to pick from an empty list.')
      return list[int(0, list.length - 1)] as (typeof list)[number]
    },
    fork: () => createRandom(int(0, 2 ** 32 - 1)),
  }
}
