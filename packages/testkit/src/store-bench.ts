import type { Store, ThreadRef } from '@turnpike/gateway'
import { runOf, threadOf } from './store-records.ts'

/** A store that is closed at the end, with a thread of `ann` in it, and a run `r1` in that. */
export interface StoreBench extends AsyncDisposable {
  readonly store: Store
  readonly thread: ThreadRef
}

/** Opens a store for one test. */
export async function setUpStore(open: () => Promise<Store>): Promise<StoreBench> {
  const store = await open()
  const thread = threadOf('ann', 't')
  await store.threads.open(thread, 'A title')
  await store.runs.create(runOf(thread, 'r1'))
  return { store, thread, [Symbol.asyncDispose]: () => store.close() }
}
