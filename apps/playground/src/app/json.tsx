import { type ReactElement, useMemo, useState } from 'react'
import { CopyButton } from './copy-button.tsx'

/** Lines that are shown before somebody asks for the rest. */
const SHORT_LINES = 12

export interface JsonProps {
  readonly title: string
  readonly value: unknown
}

/** A value as formatted JSON, folded where it is long. */
export function Json({ title, value }: JsonProps): ReactElement {
  const [isWhole, setWhole] = useState(false)
  const text = useMemo(() => JSON.stringify(value, null, 2) ?? 'nothing', [value])
  const lines = useMemo(() => text.split('\n'), [text])
  const isLong = lines.length > SHORT_LINES
  const shown = isLong && !isWhole ? lines.slice(0, SHORT_LINES).join('\n') : text
  return (
    <div className="json">
      <div className="json-head">
        <h3>{title}</h3>
        <CopyButton label={`Copy: ${title}`} textOf={() => text} />
      </div>
      <pre tabIndex={0}>{shown}</pre>
      {isLong && (
        <button className="link" type="button" onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'Show less' : `Show all ${lines.length} lines`}
        </button>
      )}
    </div>
  )
}
