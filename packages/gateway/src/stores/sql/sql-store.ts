import type { ThreadKey } from '../thread-ref.ts'
import type { Store } from '../store.ts'
import { SqlApprovals } from './approvals.ts'
import { SqlArtifacts } from './artifacts.ts'
import { SqlMemories } from './memories.ts'
import { SqlNumbering } from './numbering.ts'
import { SqlRuns } from './runs.ts'
import type { SqlDatabase } from './sql-database.ts'
import { SqlThreads } from './threads.ts'
import { SqlTickets } from './tickets.ts'
import { WeakValues } from './weak-values.ts'

/** Makes a store of a database, whatever its engine. */
export function sqlStore(database: SqlDatabase, { isDurable }: { isDurable: boolean }): Store {
  const artifacts = new WeakValues<ThreadKey, SqlArtifacts>()
  return {
    isDurable,
    threads: new SqlThreads(database),
    numbering: new SqlNumbering(database),
    runs: new SqlRuns(database),
    approvals: new SqlApprovals(database),
    tickets: new SqlTickets(database),
    // One object a thread for as long as anybody has it: changes of an artifact are put in line by it.
    artifacts: (thread) => artifacts.get(thread.key, () => new SqlArtifacts(database, thread)),
    memories: (thread, principalId) => new SqlMemories(database, thread, principalId),
    close: () => database.close(),
  }
}
