/**
 * Pulls from several iterators at once, and yields what each gives as it comes, in the order of each.
 *
 * None is asked for more before its last value was taken, so all together are never faster than who reads them.
 *
 * @returns What each came to, in the order given.
 * @throws as soon as one of them does; the others are told to return, and not waited for
 */
export async function* sideBySide<Value, Result>(
  sources: readonly AsyncIterator<Value, Result, undefined>[],
): AsyncGenerator<Value, Result[]> {
  const results: Result[] = []
  let ready: Ready<Value, Result>[] = []
  let wake = Promise.withResolvers<void>()
  const pull = (index: number): void => {
    const put = (next: Ready<Value, Result>['next']): void => {
      ready.push({ index, next })
      wake.resolve()
    }
    sources[index]?.next().then(put, (error: unknown) => put({ error }))
  }
  let left = sources.length
  try {
    sources.forEach((_, index) => pull(index))
    while (left > 0) {
      while (ready.length === 0) {
        await wake.promise
        wake = Promise.withResolvers<void>()
      }
      const batch = ready
      ready = []
      for (const { index, next } of batch) {
        if ('error' in next) throw next.error
        if (next.done) {
          results[index] = next.value
          left--
        } else {
          yield next.value
          pull(index)
        }
      }
    }
    return results
  } finally {
    // Whatever still comes of them is nobody's.
    if (left > 0) for (const source of sources) source.return?.().catch(() => {})
  }
}

interface Ready<Value, Result> {
  readonly index: number
  readonly next: IteratorResult<Value, Result> | { readonly error: unknown }
}
