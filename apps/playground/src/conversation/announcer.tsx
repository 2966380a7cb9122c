import { type ReactElement, useEffect, useRef, useState } from 'react'
import { useApprovals } from '@turnpike/client/react'
import { type Message, textOf } from '@turnpike/protocol'

/** Tells screen readers of finished answers and of approvals that are asked for; never of single words. */
export function Announcer({ messages }: { readonly messages: readonly Message[] }): ReactElement {
  const [said, say] = useState('')
  const open = useRef<string>(undefined)
  const { pending } = useApprovals()
  const [asked] = pending
  useEffect(() => {
    const last = messages.findLast(({ role }) => role === 'assistant')
    if (last?.status === 'open') {
      open.current = last.id
      return
    }
    const finished = messages.find(({ id }) => id === open.current)
    if (!finished) return
    open.current = undefined
    say(`${ENDINGS[finished.status]} ${textOf(finished)}`)
  }, [messages])
  useEffect(() => {
    if (asked) say(`Approval needed: ${asked.tool}.`)
  }, [asked])
  return (
    <div className="unseen" data-testid="announcer" role="status" aria-live="polite">
      {said}
    </div>
  )
}

const ENDINGS: Record<Message['status'], string> = {
  open: '',
  done: 'The answer:',
  cancelled: 'Stopped. The answer so far:',
  failed: 'The answer failed. So far:',
}
