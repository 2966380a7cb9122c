import { type ReactElement, useEffect, useRef } from 'react'
import { bytes, counted, duration } from '../app/quantities.ts'
import type { WireLines } from './wire-lines.ts'

export interface WireColumnViewProps {
  readonly name: string
  /** What was asked for, in a line. */
  readonly request: string
  readonly unit: string
  readonly lines: WireLines
}

/** What came over one wire, as it came. */
export function WireColumn({ name, request, unit, lines }: WireColumnViewProps): ReactElement {
  const { count, firstMs, problem } = lines
  const list = useRef<HTMLOListElement>(null)
  useEffect(() => {
    const { current } = list
    if (current) current.scrollTop = current.scrollHeight
  }, [count])
  return (
    <section className="wire" data-testid="wire" aria-label={name}>
      <h3>{name}</h3>
      <p className="wire-request">
        <code>{request}</code>
      </p>
      <p className="wire-figures">
        {firstMs === undefined ? (
          'Nothing yet'
        ) : (
          <>
            {counted(count, unit)}, {bytes(lines.bytes)}, the first after {duration(firstMs)}
          </>
        )}
      </p>
      {problem !== undefined && <p className="wire-problem">{problem}</p>}
      <ol ref={list} className="wire-lines" tabIndex={0} aria-label={`Last of ${name}`}>
        {lines.lines.map(({ number, ms, text }) => (
          <li key={number}>
            <span className="wire-ms">{ms}</span>
            <pre>{text}</pre>
          </li>
        ))}
      </ol>
    </section>
  )
}
