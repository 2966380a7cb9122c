/** Holds a store's file until it is killed: `store-holder.ts <file>`; ends with 3 where it is refused. */
import { threadRef } from '@turnpike/gateway'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'

process.once('disconnect', () => process.exit())
const store = sqliteStore({ file: process.argv[2] ?? '' })
try {
  await store.threads.open(threadRef({ id: 'ann' }, 'held'), 'Written by the holder')
  process.send?.('open')
} catch (error) {
  const isRefused = error instanceof Error && error.message.includes('is in use by another process')
  process.exit(isRefused ? 3 : 1)
}
