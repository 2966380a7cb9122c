import { type KeyboardEvent, type ReactElement, type RefObject, useLayoutEffect } from 'react'
import { Icon } from '../app/icon.tsx'
import { AgentSelect } from './agent-select.tsx'
import type { AgentChoice } from './use-agent-choice.ts'

export interface ComposerProps {
  readonly field: RefObject<HTMLTextAreaElement | null>
  readonly draft: { readonly text: string; readonly change: (text: string) => void }
  readonly choice: AgentChoice
  readonly isRunning: boolean
  readonly onSend: () => void
  readonly onStop: () => void
}

/** Where messages are written. */
export function Composer(props: ComposerProps): ReactElement {
  const { field, draft, choice, isRunning, onSend, onStop } = props
  const { text } = draft
  useLayoutEffect(() => {
    const { current } = field
    if (!current) return
    current.style.height = 'auto'
    current.style.height = `${current.scrollHeight}px`
  }, [field, text])
  const isEmpty = text.trim() === ''
  const onKeyDown = (event: KeyboardEvent): void => {
    // The Enter that ends the composition of a character is not meant for us.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    if (!isEmpty) onSend()
  }
  const sendLabel = isRunning ? 'Send: it waits for its turn' : 'Send'
  return (
    <div className="composer">
      <textarea
        ref={field}
        rows={1}
        value={text}
        data-testid="composer"
        aria-label="Message"
        aria-describedby="composer-keys"
        placeholder={isRunning ? 'Queue a message' : 'Message'}
        autoComplete="off"
        enterKeyHint="send"
        onChange={({ target }) => draft.change(target.value)}
        onKeyDown={onKeyDown}
      />
      <div className="composer-actions">
        <AgentSelect choice={choice} />
        {isRunning && (
          <button
            className="round stop"
            type="button"
            data-testid="stop"
            aria-label="Stop"
            title="Stop (Esc)"
            onClick={onStop}
          >
            <Icon name="stop" />
          </button>
        )}
        <button
          className="round send"
          type="button"
          data-testid="send"
          aria-label={sendLabel}
          title={sendLabel}
          disabled={isEmpty}
          onClick={onSend}
        >
          <Icon name="send" />
        </button>
      </div>
      <p id="composer-keys" className="unseen">
        Enter sends, Shift and Enter break the line, Escape stops the answer.
      </p>
    </div>
  )
}
