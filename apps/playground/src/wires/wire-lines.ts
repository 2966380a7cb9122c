/** The run that a wire is to tell. */
export interface ShownRun {
  readonly threadId: string
  readonly runId: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
}

export interface WireColumnProps {
  /** Absent until one is started. */
  readonly run: ShownRun | undefined
}

/** What came over a wire. */
export interface WireLines {
  /** The latest pieces, as they came. */
  readonly lines: readonly WireLine[]
  readonly count: number
  readonly bytes: number
  /** From the start of the run to the first piece. */
  readonly firstMs: number | undefined
  readonly problem: string | undefined
}

export interface WireLine {
  readonly number: number
  readonly ms: number
  readonly text: string
}

/** How many are kept. */
const MOST = 200

export const NO_LINES: WireLines = {
  lines: [],
  count: 0,
  bytes: 0,
  firstMs: undefined,
  problem: undefined,
}

/** Adds pieces that came at the same time. */
export function withPieces(before: WireLines, pieces: readonly string[], ms: number): WireLines {
  const added = pieces.map((text, index): WireLine => ({ number: before.count + index + 1, ms, text }))
  return {
    ...before,
    lines: [...before.lines, ...added].slice(-MOST),
    count: before.count + pieces.length,
    bytes: before.bytes + pieces.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0),
    firstMs: before.firstMs ?? ms,
  }
}
