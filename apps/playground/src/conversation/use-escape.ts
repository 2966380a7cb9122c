import { useEffect, useEffectEvent } from 'react'

/** Acts on Escape, unless something nearer to the reader took it: a dialog that it closes, a field that it empties. */
export function useEscape(isActive: boolean, act: () => void): void {
  const onEscape = useEffectEvent(act)
  useEffect(() => {
    if (!isActive) return
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape' || event.defaultPrevented || event.isComposing) return
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return
      if (document.querySelector('dialog[open]') === null) onEscape()
    }
    document.addEventListener('keydown', onKeyDown)
    return () => document.removeEventListener('keydown', onKeyDown)
  }, [isActive])
}
