import type { ReactElement } from 'react'
import { Icon } from '../app/icon.tsx'

export interface ReasoningProps {
  readonly text: string
  readonly isGrowing: boolean
}

/** What the model thought, folded. */
export function Reasoning({ text, isGrowing }: ReasoningProps): ReactElement {
  return (
    <details className="reasoning" data-testid="reasoning">
      <summary>
        <Icon name="chevron" />
        {isGrowing ? 'Thinking …' : 'Reasoning'}
      </summary>
      <p>{text}</p>
    </details>
  )
}
