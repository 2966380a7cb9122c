import { callEach } from './call-each.ts'

interface Frames {
  readonly requestAnimationFrame?: (act: () => void) => number
  readonly cancelAnimationFrame?: (handle: number) => void
}

/** A page that nobody looks at has no frames; what happens there is still told, only later. */
const WITHOUT_FRAMES_MS = 250
const FRAME_MS = 16

const waiting = new Set<() => void>()
let callOff: (() => void) | undefined

/** Acts once at the next frame, in one turn with everybody else who waits for it; returns what calls it off. */
export function onNextFrame(act: () => void): () => void {
  waiting.add(act)
  callOff ??= request(() => {
    callOff = undefined
    const acts = [...waiting]
    waiting.clear()
    callEach(acts)
  })
  return () => {
    if (!waiting.delete(act) || waiting.size > 0) return
    callOff?.()
    callOff = undefined
  }
}

function request(run: () => void): () => void {
  const { requestAnimationFrame, cancelAnimationFrame } = globalThis as Frames
  if (!requestAnimationFrame) {
    const timer = setTimeout(run, FRAME_MS)
    return () => clearTimeout(timer)
  }
  const stop = (): void => {
    clearTimeout(timer)
    cancelAnimationFrame?.(frame)
  }
  const once = (): void => {
    stop()
    run()
  }
  const timer = setTimeout(once, WITHOUT_FRAMES_MS)
  const frame = requestAnimationFrame(once)
  return stop
}
