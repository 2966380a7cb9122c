/** Lets tests wait for something to be found in what they were told. */
export class Noticing {
  readonly #waiting = new Set<() => void>()

  /** Something was told. */
  notice(): void {
    for (const check of this.#waiting) check()
  }

  /** Resolves once something is found. */
  until<Found>(find: () => readonly Found[]): Promise<readonly Found[]> {
    return new Promise((resolve) => {
      const check = (): void => {
        const found = find()
        if (found.length === 0) return
        this.#waiting.delete(check)
        resolve(found)
      }
      this.#waiting.add(check)
      check()
    })
  }
}
