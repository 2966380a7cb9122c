import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { takeDigests } from './agent.ts'

/** What the bench asks a server for, over a channel that no client uses. */
export type Question = { readonly ask: 'sample' | 'settled' | 'digests' } | { readonly profileTo: string }

/** What a server has used so far. */
export interface Sample {
  /** User and system time, in µs. */
  readonly cpuUs: number
  readonly rss: number
  /** Heap and buffers. Only after a garbage collection (`settled`) do they tell what is alive. */
  readonly live: number
}

/** Answers the bench, and ends with it. */
export function serveControl(port: number): void {
  let stopProfile = async (): Promise<void> => {}
  const answer = async (question: Question): Promise<void> => {
    if ('profileTo' in question) stopProfile = await startProfile(question.profileTo)
    const digests = 'ask' in question && question.ask === 'digests'
    process.send?.(digests ? takeDigests() : sample('ask' in question && question.ask === 'settled'))
  }
  // What a run leaves to do behind its last frame counts, too.
  process.on('message', (question: Question) => setImmediate(() => setImmediate(() => void answer(question))))
  process.on('disconnect', () => void stopProfile().then(() => process.exit()))
  process.send?.(port)
}

/** Profiles from here on; what is returned stops that and writes the file. */
async function startProfile(file: string): Promise<() => Promise<void>> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: 200 })
  await session.post('Profiler.start')
  return async () => writeFileSync(file, JSON.stringify((await session.post('Profiler.stop')).profile))
}

function sample(collect: boolean): Sample {
  if (collect) globalThis.gc?.()
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { cpuUs: user + system, rss, live: heapUsed + external }
}
