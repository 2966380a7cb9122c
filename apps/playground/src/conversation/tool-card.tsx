import { type ReactElement, memo, useId, useState } from 'react'
import { type ToolPart } from '@turnpike/protocol'
import { Icon } from '../app/icon.tsx'
import { Json } from '../app/json.tsx'
import { ApprovalDecision } from './approval-decision.tsx'
import { briefly } from './briefly.ts'

const STATES: Record<ToolPart['state'], string> = {
  arguments: 'writing arguments',
  approval: 'waits for you',
  running: 'running',
  done: 'done',
  failed: 'failed',
}

/** A call of a tool: what went in, what came out, and what has to be decided. */
export const ToolCard = memo(function ToolCard({ call }: { readonly call: ToolPart }): ReactElement {
  const { tool, state, args, result, error, approval } = call
  const [choice, choose] = useState<boolean>()
  const isPending = state === 'approval'
  const isOpen = choice ?? isPending
  const bodyId = useId()
  const isDenied = approval?.approved === false
  return (
    <section
      className="tool"
      data-testid="tool"
      data-tool={tool}
      data-state={state}
      aria-label={`Tool ${tool}`}
    >
      <button
        className="tool-head"
        type="button"
        aria-expanded={isOpen}
        aria-controls={bodyId}
        onClick={() => choose(!isOpen)}
      >
        <Icon name="chevron" />
        <span className="tool-name">{tool}</span>
        <span className="tool-brief">{briefly(args)}</span>
        <span className="tool-state">{isDenied ? 'declined' : STATES[state]}</span>
      </button>
      {error && !isDenied && (
        <p className="tool-error">
          <code>{error.code}</code> {error.message}
        </p>
      )}
      <div id={bodyId} className="tool-body" hidden={!isOpen}>
        {isOpen && args !== undefined && <Json title="Arguments" value={args} />}
        {isOpen && result !== undefined && <Json title="Result" value={result} />}
      </div>
      {approval && <ApprovalDecision approval={approval} isPending={isPending} />}
    </section>
  )
})
