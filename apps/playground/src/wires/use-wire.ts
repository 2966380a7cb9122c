import { useEffect, useState } from 'react'
import { type ShownRun, type WireLines, NO_LINES, withPieces } from './wire-lines.ts'

/** Opens a wire. What comes goes to `take`, what goes wrong to `fail`; it ends with the signal. */
export type OpenWire = (
  run: ShownRun,
  to: {
    readonly take: (piece: string) => void
    readonly fail: (problem: string) => void
    readonly signal: AbortSignal
  },
) => void

/** What a wire tells of a run; shown once a frame, however much comes. */
export function useWire(run: ShownRun | undefined, open: OpenWire): WireLines {
  const [lines, setLines] = useState(NO_LINES)
  useEffect(() => {
    if (!run) return
    const controller = new AbortController()
    let pieces: string[] = []
    let frame = 0
    const flush = (): void => {
      frame = 0
      const taken = pieces
      pieces = []
      const ms = Date.now() - run.startedAt
      setLines((before) => withPieces(before, taken, ms))
    }
    setLines(NO_LINES)
    open(run, {
      signal: controller.signal,
      take(piece) {
        pieces.push(piece)
        if (frame === 0) frame = requestAnimationFrame(flush)
      },
      fail: (problem) => {
        if (!controller.signal.aborted) setLines((before) => ({ ...before, problem }))
      },
    })
    return () => {
      controller.abort()
      cancelAnimationFrame(frame)
    }
  }, [run, open])
  return lines
}
