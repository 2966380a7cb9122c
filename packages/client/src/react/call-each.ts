/** Calls each of them: one that throws is reported, and takes nothing from the others. */
export function callEach(acts: Iterable<() => void>): void {
  for (const act of [...acts]) {
    try {
      act()
    } catch (error) {
      report(error)
    }
  }
}

function report(error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void }
  if (reportError) return reportError(error)
  queueMicrotask(() => {
    throw error
  })
}
