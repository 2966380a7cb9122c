import { type ReactElement, useState } from 'react'
import { type EventType, type ThreadEvent, EVENT_TYPES } from '@turnpike/protocol'
import { Icon } from '../app/icon.tsx'
import { Json } from '../app/json.tsx'
import { SidePane } from '../app/side-pane.tsx'
import { counted } from '../app/quantities.ts'
import { EventRows } from './event-rows.tsx'

export interface InspectorProps {
  /** The latest ones. */
  readonly events: readonly ThreadEvent[]
  readonly onClose: () => void
}

/** The events of the thread as they come. */
export function Inspector({ events, onClose }: InspectorProps): ReactElement {
  const [paused, setPaused] = useState<readonly ThreadEvent[]>()
  const [type, setType] = useState<EventType | ''>('')
  const [chosen, choose] = useState<ThreadEvent>()
  const all = paused ?? events
  const shown = type === '' ? all : all.filter((event) => event.type === type)
  const last = events.at(-1)
  return (
    <SidePane title="Events" note={counted(events.length, 'frame')} onClose={onClose}>
      <div className="inspector" data-testid="events">
        <div className="inspector-tools">
          <select
            aria-label="Type of event"
            data-testid="event-filter"
            value={type}
            onChange={({ target }) => setType(EVENT_TYPES.find((each) => each === target.value) ?? '')}
          >
            <option value="">All types</option>
            {EVENT_TYPES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
          <button
            className="button"
            type="button"
            aria-pressed={paused !== undefined}
            onClick={() => setPaused(paused ? undefined : events)}
          >
            <Icon name={paused ? 'play' : 'pause'} />
            {paused ? 'Go on' : 'Pause'}
          </button>
        </div>
        <EventRows events={shown} chosen={chosen} onChoose={choose} isLive={!paused} />
        {chosen && (
          <div className="event-detail" data-testid="event-detail">
            <Json title={`${chosen.type} ${chosen.seq}`} value={chosen} />
          </div>
        )}
        <p className="inspector-foot">
          Last event id <code data-testid="last-event-id">{last?.id ?? 'none yet'}</code>
        </p>
      </div>
    </SidePane>
  )
}
