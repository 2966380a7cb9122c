import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import type { Store } from '@turnpike/gateway/store'
import { ORIGIN } from '@turnpike/protocol'

/** Knows which threads there are, and keeps nothing of runs: what is left of a gateway's cost is that of its log. */
export function noStore(): Store {
  const threads = new Set<string>()
  const nothing = async (): Promise<undefined> => undefined
  const none = async (): Promise<readonly never[]> => []
  return {
    // Not opened before its first use, and never used.
    ...sqliteStore(),
    threads: {
      open: async ({ key }) => void threads.add(key),
      has: async ({ key }) => threads.has(key),
      list: none,
      messages: none,
      owners: none,
    },
    numbering: {
      resume: async () => ({ head: ORIGIN, open: [] }),
      reserve: nothing,
      settle: nothing,
    },
    runs: {
      create: nothing,
      update: nothing,
      find: nothing,
      answer: nothing,
      unfinished: none,
      usage: async () => ({ runs: 0, inputTokens: 0, outputTokens: 0 }),
      owners: none,
    },
  }
}
