import { type KeyboardEvent, type ReactElement, useEffect, useRef, useState } from 'react'
import { type ThreadEvent } from '@turnpike/protocol'
import { bytes } from '../app/quantities.ts'
import { sizeOf } from './size-of.ts'

/** Of one row, as the style has it. */
const ROW_PX = 26
/** Rows above and below what is in view. */
const SPARE = 8

export interface EventRowsProps {
  readonly events: readonly ThreadEvent[]
  readonly chosen: ThreadEvent | undefined
  readonly onChoose: (event: ThreadEvent | undefined) => void
  /** Keeps the latest one in view. */
  readonly isLive: boolean
}

/** A list of events that renders only those in view. */
export function EventRows({ events, chosen, onChoose, isLive }: EventRowsProps): ReactElement {
  const box = useRef<HTMLDivElement>(null)
  const sticks = useRef(true)
  const [view, setView] = useState({ top: 0, height: 600 })
  useEffect(() => {
    const { current } = box
    if (!current) return
    const look = (): void => setView({ top: current.scrollTop, height: current.clientHeight })
    const observer = new ResizeObserver(look)
    observer.observe(current)
    return () => observer.disconnect()
  }, [])
  useEffect(() => {
    const { current } = box
    if (current && isLive && sticks.current) current.scrollTop = current.scrollHeight
  }, [events, isLive])

  const first = Math.max(0, Math.floor(view.top / ROW_PX) - SPARE)
  const rows = events.slice(first, first + Math.ceil(view.height / ROW_PX) + 2 * SPARE)
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step === undefined) return
    event.preventDefault()
    const at = chosen ? events.indexOf(chosen) : events.length
    const next = events[Math.min(events.length - 1, Math.max(0, at + step))]
    onChoose(next)
    sticks.current = false
    if (next && box.current) keepInView(box.current, events.indexOf(next) * ROW_PX)
  }
  return (
    <div
      className="event-rows"
      data-testid="recent-events"
      ref={box}
      tabIndex={0}
      role="listbox"
      aria-label="Latest events"
      aria-activedescendant={chosen && rows.includes(chosen) ? `event-${chosen.seq}` : undefined}
      onKeyDown={onKeyDown}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        sticks.current = scrollHeight - scrollTop - clientHeight < ROW_PX
        setView({ top: scrollTop, height: clientHeight })
      }}
    >
      <div role="presentation" className="event-space" style={{ height: events.length * ROW_PX }}>
        {rows.map((event, index) => (
          <div
            key={event.id}
            id={`event-${event.seq}`}
            className="event-row"
            role="option"
            aria-selected={event === chosen}
            data-type={event.type}
            style={{ transform: `translateY(${(first + index) * ROW_PX}px)` }}
            onClick={() => onChoose(event === chosen ? undefined : event)}
          >
            <span className="event-seq">{event.seq}</span>
            <span className="event-type">{event.type}</span>
            <span className="event-covers">{event.covers === undefined ? '' : `covers ${event.covers}`}</span>
            <span className="event-size">{bytes(sizeOf(event))}</span>
          </div>
        ))}
      </div>
    </div>
  )
}

function keepInView(box: HTMLElement, top: number): void {
  if (top < box.scrollTop) box.scrollTop = top
  else if (top + ROW_PX > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW_PX - box.clientHeight
}
