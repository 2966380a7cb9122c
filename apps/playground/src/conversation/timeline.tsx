import type { ReactElement } from 'react'
import { type LiveThread, useAgents } from '@turnpike/client/react'
import type { Runs } from '../facts/run-facts.ts'
import { MessageList } from './message-list.tsx'
import { OlderMessages } from './older-messages.tsx'
import type { StickToBottom } from './use-stick-to-bottom.ts'
import { useKeptPlace } from './use-kept-place.ts'
import { Welcome } from './welcome.tsx'

export interface TimelineProps {
  readonly thread: LiveThread
  readonly runs: Runs
  readonly stick: StickToBottom
  /** The reader has taken a suggestion of what to say, and to whom. */
  readonly onSuggestion: (text: string, agent: string | undefined) => void
}

/** What was said in a thread, the latest at the bottom; before anything was, what could be. */
export function Timeline({ thread, runs, stick, onSuggestion }: TimelineProps): ReactElement {
  const { agents, error } = useAgents()
  const { messages, status, run, background, memories, hasMore, loadMore } = thread
  const keepPlace = useKeptPlace(stick.scroller, { selector: 'article', first: messages[0]?.id })
  return (
    <div className="scroller" ref={stick.scroller} tabIndex={0} role="region" aria-label="Messages">
      <div className="column" ref={stick.content}>
        {messages.length === 0 && status !== 'loading' && (
          <Welcome
            agents={agents.map(({ name }) => name)}
            needsToken={error?.code === 'unauthorized'}
            onChoose={onSuggestion}
          />
        )}
        <OlderMessages
          hasMore={hasMore}
          onLoad={() => {
            keepPlace()
            return loadMore()
          }}
        />
        <MessageList
          messages={messages}
          runs={runs}
          background={background}
          memories={memories}
          isBusy={run !== undefined}
        />
      </div>
    </div>
  )
}
