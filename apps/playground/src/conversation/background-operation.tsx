import { type ReactElement, memo, useId } from 'react'
import { type BackgroundUpdate } from '@turnpike/client/react'

const ENDINGS = { running: '', done: 'Done', failed: 'Failed', cancelled: 'Cancelled' } as const

/** Work that goes on beside the answer, and after it. */
export const BackgroundOperation = memo(function BackgroundOperation({
  operation,
}: {
  readonly operation: BackgroundUpdate
}): ReactElement {
  const { name, status, progress, message } = operation
  const id = useId()
  const said = [ENDINGS[status], message].filter(Boolean).join(': ')
  return (
    <div className="operation" data-testid="background" data-status={status}>
      <label htmlFor={id}>{name}</label>
      <span className="operation-said">{said}</span>
      <progress id={id} value={progress} max={1} />
    </div>
  )
})
