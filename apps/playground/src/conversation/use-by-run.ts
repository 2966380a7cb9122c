import { useMemo, useRef } from 'react'

/** Sorts facts by their run. The list of a run stays the same object as long as nothing in it changes. */
export function useByRun<Fact extends { readonly runId: string }>(
  facts: readonly Fact[],
): ReadonlyMap<string, readonly Fact[]> {
  const before = useRef<ReadonlyMap<string, readonly Fact[]>>(new Map())
  return useMemo(() => {
    const lists = Map.groupBy(facts, ({ runId }) => runId)
    const kept = [...lists].map(([runId, list]): [string, readonly Fact[]] => {
      const known = before.current.get(runId)
      const isSame = known?.length === list.length && known.every((fact, index) => fact === list[index])
      return [runId, isSame ? known : list]
    })
    before.current = new Map(kept)
    return before.current
  }, [facts])
}
