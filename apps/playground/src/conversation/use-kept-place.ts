import { type RefObject, useCallback, useLayoutEffect, useRef } from 'react'

/**
 * Keeps what a reader looks at in place when older messages come in above it. Browsers do that by themselves, but not
 * at the very top, which is where one asks for them.
 *
 * @param first - The first message that is shown.
 * @returns What has to be called before older ones are asked for.
 */
export function useKeptPlace(
  scroller: RefObject<HTMLElement | null>,
  list: { readonly selector: string; readonly first: string | undefined },
): () => void {
  const { selector, first } = list
  const kept = useRef<{ element: HTMLElement; top: number }>(undefined)
  useLayoutEffect(() => {
    const { element, top } = kept.current ?? {}
    kept.current = undefined
    if (scroller.current && element?.isConnected && top !== undefined) {
      scroller.current.scrollTop += element.offsetTop - top
    }
  }, [scroller, first])
  return useCallback(() => {
    const element = scroller.current?.querySelector<HTMLElement>(selector)
    kept.current = element ? { element, top: element.offsetTop } : undefined
  }, [scroller, selector])
}
