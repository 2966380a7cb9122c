import { type ReactElement, useEffect, useState } from 'react'
import { Icon } from './icon.tsx'

const SAID_MS = 1_500

export interface CopyButtonProps {
  readonly label: string
  readonly textOf: () => string
}

/** Copies a text, and says so for a moment. Absent where the browser lets nobody copy. */
export function CopyButton({ label, textOf }: CopyButtonProps): ReactElement | null {
  const [isCopied, setCopied] = useState(false)
  useEffect(() => {
    if (!isCopied) return
    const timer = setTimeout(() => setCopied(false), SAID_MS)
    return () => clearTimeout(timer)
  }, [isCopied])
  if (!('clipboard' in navigator)) return null
  const copy = (): void => {
    navigator.clipboard.writeText(textOf()).then(
      () => setCopied(true),
      () => setCopied(false),
    )
  }
  return (
    <button className="quiet" type="button" onClick={copy} aria-label={label} title={label}>
      <Icon name={isCopied ? 'check' : 'copy'} />
      <span aria-hidden="true">{isCopied ? 'Copied' : 'Copy'}</span>
    </button>
  )
}
