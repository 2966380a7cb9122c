import { element } from './element.ts'

/** Somebody has decided about a tool call; comes up from its card as a `decision` event. */
export interface Decision {
  readonly approvalId: string
  readonly approved: boolean
}

/** The two buttons with which a tool call is approved or declined. */
export function decisionButtons(): { node: HTMLElement; ask(approvalId: string | undefined): void } {
  const approve = element('button', 'approve', 'Approve')
  const decline = element('button', 'link', 'Decline')
  const node = element('div', 'tool-decision', approve, decline)
  approve.dataset['testid'] = 'approve'
  decline.dataset['testid'] = 'decline'
  return {
    node,
    ask(approvalId) {
      node.hidden = approvalId === undefined
      if (approvalId === undefined) return
      for (const button of [approve, decline]) {
        const detail: Decision = { approvalId, approved: button === approve }
        button.onclick = () => node.dispatchEvent(new CustomEvent('decision', { bubbles: true, detail }))
      }
    },
  }
}

/** Listens to the decisions made anywhere below a node. */
export function onDecision(below: EventTarget, decide: (decision: Decision) => void): void {
  below.addEventListener('decision', (event) => {
    if (event instanceof CustomEvent) decide(event.detail as Decision)
  })
}
