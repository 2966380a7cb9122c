import type { ReactElement } from 'react'
import { network } from '../network/network.ts'
import { useStore } from './use-store.ts'

/** Takes the network away from this page, and gives it back. */
export function CutSwitch(): ReactElement {
  const isCut = useStore(network.isCut)
  return (
    <button
      className="switch"
      type="button"
      role="switch"
      aria-checked={isCut}
      aria-label="Cut the connection"
      title="Cut the connection of this page, as a tunnel would"
      data-testid="cut"
      onClick={() => (isCut ? network.restore() : network.cut())}
    >
      <span className="switch-label" aria-hidden="true">
        Cut<span className="wide-only"> the connection</span>
      </span>
      <span className="switch-track" aria-hidden="true" />
    </button>
  )
}
