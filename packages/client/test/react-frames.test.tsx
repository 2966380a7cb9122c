import { describe, expect, test } from 'vitest'
import { isMissing, startSite } from './react-page/start-site.ts'

const THREADS = 10

/** 50 tokens a second of each thread, and 1,000: far more than there are frames. */
const LOADS = [
  { agent: 'paced', words: 200 },
  { agent: 'flood', words: 2_000 },
] as const

describe.skipIf(isMissing)('the hooks in Chromium, under load', () => {
  test.for(LOADS)(
    'ten threads of $agent cost a render a frame each, at most',
    { timeout: 60_000 },
    async ({ agent, words }, { annotate }) => {
      await using site = await startSite('production')
      const tab = await site.open()
      await tab.evaluate((count) => stage.crowd(count), THREADS)
      const figures = await tab.evaluate(
        async ({ agent, words }) => {
          const { probe } = stage
          const longTasks: number[] = []
          const observer = new PerformanceObserver((list) => {
            for (const { duration } of list.getEntries()) longTasks.push(duration)
          })
          // Node's types do not know it.
          observer.observe({ entryTypes: ['longtask'] as never })
          const { requestAnimationFrame } = globalThis as unknown as {
            requestAnimationFrame: (act: () => void) => void
          }
          let frames = 0
          let isCounting = true
          const count = (): void => {
            frames++
            if (isCounting) requestAnimationFrame(count)
          }
          const names = Object.keys(probe.threads)
          await Promise.all(names.map(async (name) => probe.threads[name]?.send(`${words} words`, { agent })))
          const before = { ...probe.renders }
          const startedAt = performance.now()
          requestAnimationFrame(count)
          const isRunning = (): boolean => names.some((name) => probe.threads[name]?.status === 'running')
          while (isRunning()) await new Promise<void>((resolve) => requestAnimationFrame(resolve))
          isCounting = false
          observer.disconnect()
          const renders = names.map((name) => (probe.renders[name] ?? 0) - (before[name] ?? 0))
          const events = names.map((name) => probe.threads[name]?.events.length ?? 0)
          return { seconds: (performance.now() - startedAt) / 1000, frames, renders, events, longTasks }
        },
        { agent, words },
      )
      const { seconds, frames, renders, longTasks } = figures
      const most = Math.max(...renders)
      await annotate(
        `${agent}: ${seconds.toFixed(1)} s, ${(frames / seconds).toFixed(0)} frames/s, ` +
          `${(most / seconds).toFixed(0)} renders/s of a thread, ${longTasks.length} long tasks`,
      )
      expect(await tab.locator('li[data-role=assistant]').allInnerTexts()).toEqual(
        Array.from({ length: THREADS }, () => expect.stringMatching(new RegExp(`word1 .* word${words}`))),
      )
      // The start and the end of a run may come between two frames of the counting.
      expect(most).toBeLessThanOrEqual(frames + 4)
      expect(site.problems).toEqual([])
    },
  )
})
