import { type RefObject, useCallback, useEffect, useRef, useState } from 'react'

/** So close to the end counts as being there. */
const NEAR_PX = 40

export interface StickToBottom {
  /** The element that scrolls. */
  readonly scroller: RefObject<HTMLDivElement | null>
  /** Its content. */
  readonly content: RefObject<HTMLDivElement | null>
  readonly isAtBottom: boolean
  /** The content has grown since the reader left the end. */
  readonly hasNews: boolean
  readonly toBottom: () => void
}

/**
 * Keeps the end of a growing content in view while the reader is there, and leaves readers alone who are not.
 *
 * @param place - What is shown; another one begins at its end.
 */
export function useStickToBottom(place: string | undefined): StickToBottom {
  const scroller = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const sticks = useRef(true)
  /** From the top of what is in view to the end. */
  const gap = useRef(0)
  const [isAtBottom, setAtBottom] = useState(true)
  const [hasNews, setNews] = useState(false)

  const toBottom = useCallback(() => {
    sticks.current = true
    const { current } = scroller
    current?.scrollTo({ top: current.scrollHeight, behavior: 'instant' })
    setAtBottom(true)
    setNews(false)
  }, [])

  useEffect(() => {
    const [box, inner] = [scroller.current, content.current]
    if (!box || !inner) return
    let topBefore = box.scrollTop
    const onScroll = (): void => {
      const isNear = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX
      // Content that grows moves nobody up: only a reader does.
      if (isNear) sticks.current = true
      else if (box.scrollTop < topBefore) sticks.current = false
      topBefore = box.scrollTop
      gap.current = box.scrollHeight - topBefore
      setAtBottom(sticks.current)
      if (sticks.current) setNews(false)
    }
    const observer = new ResizeObserver(() => {
      if (sticks.current) box.scrollTop = box.scrollHeight
      else if (box.scrollHeight - box.scrollTop > gap.current) setNews(true)
    })
    observer.observe(inner)
    observer.observe(box)
    box.addEventListener('scroll', onScroll, { passive: true })
    return () => {
      observer.disconnect()
      box.removeEventListener('scroll', onScroll)
    }
  }, [])

  useEffect(() => toBottom(), [place, toBottom])

  return { scroller, content, isAtBottom, hasNews, toBottom }
}
