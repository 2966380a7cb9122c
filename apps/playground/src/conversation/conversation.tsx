import { type ReactElement, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useThreadStream } from '@turnpike/client/react'
import { ArtifactPane } from '../artifacts/artifact-pane.tsx'
import { replaceAddress, threadAddress } from '../app/route.ts'
import { useThreadFacts } from '../facts/use-thread-facts.ts'
import { useMeasuring } from '../figures/use-measuring.ts'
import { Inspector } from '../inspector/inspector.tsx'
import type { Settings } from '../settings/settings.ts'
import { Announcer } from './announcer.tsx'
import { Composer } from './composer.tsx'
import { type ConversationActions, ConversationActionsContext } from './conversation-actions.ts'
import { DockNote } from './dock-note.tsx'
import { Timeline } from './timeline.tsx'
import { useAgentChoice } from './use-agent-choice.ts'
import { useDraftText } from './use-draft-text.ts'
import { useEscape } from './use-escape.ts'
import { useStickToBottom } from './use-stick-to-bottom.ts'
import { useThreadTitle } from './use-thread-title.ts'

const KEPT_EVENTS = 1_000

export interface ConversationProps {
  readonly threadId: string | undefined
  readonly settings: Settings
  readonly isInspecting: boolean
  readonly onInspect: (isInspecting: boolean) => void
  /** The thread was made, or a run of it began or ended. */
  readonly onActivity: () => void
}

/** A thread, and what is said in it. */
export function Conversation(props: ConversationProps): ReactElement {
  const { settings, isInspecting, onInspect, onActivity } = props
  const { reasoning } = settings
  const thread = useThreadStream({ threadId: props.threadId, reasoning, keepEvents: KEPT_EVENTS })
  const { threadId, messages, events, status, run, connection, approve, cancel } = thread
  const { agents, agent, choose } = useAgentChoice(props.threadId, messages, settings.agent)
  const facts = useThreadFacts(threadId, events)
  const noteSent = useMeasuring(events)
  const [text, setText] = useDraftText(threadId)
  const [opened, open] = useState<{ threadId: string | undefined; id: string }>()
  const stick = useStickToBottom(threadId)
  const field = useRef<HTMLTextAreaElement>(null)
  const isRunning = status === 'running'
  // What goes wrong is in the thread's error, which is shown.
  const stop = useCallback(() => void cancel().catch(() => {}), [cancel])
  useThreadTitle(messages)
  useEscape(isRunning, stop)
  useEffect(() => focusField(field.current), [props.threadId])
  useEffect(() => {
    if (threadId !== undefined) onActivity()
  }, [threadId, run?.id, isRunning, onActivity])
  useEffect(() => {
    // A new thread gets its address with its first message.
    if (props.threadId === undefined && threadId !== undefined) replaceAddress(threadAddress(threadId))
  }, [props.threadId, threadId])

  const actions = useMemo(
    (): ConversationActions => ({ approve, openArtifact: (id) => open({ threadId, id }) }),
    [approve, threadId],
  )
  const say = (message: string, to = agent): void => {
    setText('')
    stick.toBottom()
    if (!isRunning) noteSent()
    // What was refused can be sent again.
    thread.send(message, to === '' ? {} : { agent: to }).catch(() => setText(message))
  }
  const saySuggestion = (message: string, to: string | undefined): void => {
    if (to !== undefined) choose(to)
    say(message, to)
    focusField(field.current)
  }

  return (
    <ConversationActionsContext value={actions}>
      <main
        className="conversation"
        data-testid="conversation"
        aria-label="Conversation"
        data-live={connection.status === 'open'}
      >
        <Timeline thread={thread} runs={facts.runs} stick={stick} onSuggestion={saySuggestion} />
        <div className="dock">
          <DockNote thread={thread} stick={stick} />
          <Composer
            field={field}
            draft={{ text, change: setText }}
            choice={{ agents, agent, choose }}
            isRunning={isRunning}
            onSend={() => say(text.trim())}
            onStop={stop}
          />
        </div>
        <Announcer messages={messages} />
      </main>
      {opened?.threadId !== undefined && opened.threadId === threadId ? (
        <ArtifactPane
          threadId={opened.threadId}
          artifactId={opened.id}
          seen={facts.artifacts.get(opened.id)}
          onClose={() => open(undefined)}
        />
      ) : (
        isInspecting && <Inspector key={threadId} events={events} onClose={() => onInspect(false)} />
      )}
    </ConversationActionsContext>
  )
}

/** On a touch screen a focus would bring up a keyboard that nobody asked for. */
function focusField(field: HTMLElement | null): void {
  if (matchMedia('(hover: hover)').matches) field?.focus({ preventScroll: true })
}
