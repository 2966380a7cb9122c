import { type ToolPart } from '@turnpike/protocol'
import { decisionButtons } from './decision.ts'
import { element, setText } from './element.ts'
import type { View } from './keyed-list.ts'

const STATES: Record<ToolPart['state'], string> = {
  arguments: 'preparing',
  approval: 'waits for approval',
  running: 'running',
  done: 'done',
  failed: 'failed',
}

/** A tool call: its name and state, and, unfolded, what went in and what came out. */
export function toolCard(): View<ToolPart> {
  const name = element('code', 'tool-name')
  const preview = element('span', 'tool-preview')
  const state = element('span', 'tool-state')
  const args = element('pre')
  const result = element('pre')
  const argsBlock = element('div', 'tool-block', element('h3', '', 'Arguments'), args)
  const resultBlock = element('div', 'tool-block', element('h3', '', 'Result'), result)
  const error = element('p', 'tool-error')
  const summary = element('summary', '', name, preview, state)
  const details = element('details', '', summary, argsBlock, resultBlock)
  const decision = decisionButtons()
  const node = element('div', 'tool', details, decision.node, error)
  return {
    node,
    update(part) {
      node.dataset['state'] = part.state
      setText(name, part.tool)
      setText(preview, part.args === undefined ? '' : compact(part.args))
      setText(state, STATES[part.state])
      decision.ask(part.state === 'approval' ? part.approval?.approvalId : undefined)
      setText(args, readable(part.args))
      setText(result, readable(part.result))
      argsBlock.hidden = part.args === undefined
      resultBlock.hidden = part.result === undefined
      setText(error, part.error ? `${part.error.message} (${part.error.code})` : '')
      error.hidden = !part.error
    },
  }
}

function readable(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? '')
}

/** One line that hints at the arguments. */
function compact(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}
