import type { ReactElement } from 'react'

/** The name of it all. */
export function Brand(): ReactElement {
  return (
    <p className="brand">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="8" />
        <path d="M8 25V8.5M8 12l16-4M17 25h7" />
      </svg>
      Turnpike
    </p>
  )
}
