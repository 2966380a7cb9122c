import type { ReactElement } from 'react'
import { ORIGIN } from '@turnpike/protocol'
import { credential } from '../network/api.ts'
import { network } from '../network/network.ts'
import { settings } from '../settings/settings.ts'
import { type OpenWire, useWire } from './use-wire.ts'
import { WireColumn } from './wire-column.tsx'
import type { WireColumnProps } from './wire-lines.ts'

/** The text of the event stream. */
export function EventStreamColumn({ run }: WireColumnProps): ReactElement {
  const lines = useWire(run, open)
  return (
    <WireColumn
      name="Server-Sent Events"
      request="GET /threads/{id}/events?after=…"
      unit="block"
      lines={lines}
    />
  )
}

const open: OpenWire = ({ threadId }, { take, fail, signal }) => {
  const flag = settings.get().reasoning ? '&reasoning=1' : ''
  const path = `/threads/${encodeURIComponent(threadId)}/events?after=${ORIGIN}${flag}`
  read(path, { take, signal }).catch((error: unknown) =>
    fail(error instanceof Error ? error.message : String(error)),
  )
}

async function read(
  path: string,
  { take, signal }: { take: (piece: string) => void; signal: AbortSignal },
): Promise<void> {
  const response = await network.fetch(path, { headers: credential(), signal })
  if (!response.ok) throw new Error(`The server answered with ${response.status}.`)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done = true, value = '' } = (await reader?.read()) ?? {}
    if (done) return
    const blocks = (rest + value).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) take(block)
  }
}
