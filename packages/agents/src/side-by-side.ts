export interface SideBySideOptions<Value> {
  /** Stops those that still go on, where one has failed or nobody reads any more. They have to end then. */
  readonly stop: () => void
  /** Takes what they have given by then, or are about to give. */
  readonly tell: (value: Value) => void
}

/**
 * Pulls from several iterators at once, and yields what each gives as it comes, in the order of each.
 *
 * None is asked for more before its last value was taken, so all together are never faster than who reads them.
 *
 * @returns What each came to, in the order given.
 * @throws what the first of them throws, once the others have ended, too
 */
export async function* sideBySide<Value, Result>(
  sources: readonly AsyncIterator<Value, Result, undefined>[],
  { stop, tell }: SideBySideOptions<Value>,
): AsyncGenerator<Value, Result[]> {
  const results: Result[] = []
  const open = new Map(sources.entries())
  let ready: Ready<Value, Result>[] = []
  let wake = Promise.withResolvers<void>()
  const pull = (index: number): void => {
    const put = (next: Ready<Value, Result>['next']): void => {
      ready.push({ index, next })
      wake.resolve()
    }
    sources[index]?.next().then(put, (error: unknown) => put({ error }))
  }
  const tellReady = (): void => {
    const told = ready
    ready = []
    for (const { next } of told) if (!('error' in next) && !next.done) tell(next.value)
  }
  try {
    sources.forEach((_, index) => pull(index))
    while (open.size > 0) {
      const first = ready.shift()
      if (!first) {
        await wake.promise
        wake = Promise.withResolvers<void>()
        continue
      }
      const { index, next } = first
      if ('error' in next || next.done) open.delete(index)
      if ('error' in next) throw next.error
      if (next.done) results[index] = next.value
      else {
        yield next.value
        pull(index)
      }
    }
    return results
  } finally {
    if (open.size > 0) {
      tellReady()
      stop()
      // One that is in the middle of something gives what that comes to before it returns.
      await Promise.allSettled([...open.values()].map(async (source) => source.return?.()))
      tellReady()
    }
  }
}

interface Ready<Value, Result> {
  readonly index: number
  readonly next: IteratorResult<Value, Result> | { readonly error: unknown }
}
