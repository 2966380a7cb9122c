import { type ReactElement, memo } from 'react'
import { type MemoryFact } from '@turnpike/client/react'
import { Icon } from '../app/icon.tsx'

/** What an agent remembered, and what it found in its memory. */
export const MemoryChips = memo(function MemoryChips({
  memories,
}: {
  readonly memories: readonly MemoryFact[]
}): ReactElement | null {
  if (memories.length === 0) return null
  return (
    <ul className="memories" aria-label="Memory">
      {memories.map((fact) => (
        <li key={fact.eventId} className="memory" data-testid={`memory-${fact.kind}`}>
          <Icon name="memory" />
          {fact.kind === 'write' ? (
            <span>
              Remembered: <q>{fact.text}</q>
            </span>
          ) : (
            <span>{recalled(fact)}</span>
          )}
        </li>
      ))}
    </ul>
  )
})

function recalled({ memories }: Extract<MemoryFact, { kind: 'recall' }>): string {
  const [first, ...others] = memories
  if (!first) return 'Recalled nothing'
  return `Recalled: “${first.text}”${others.length > 0 ? ` and ${others.length} more` : ''}`
}
