import { Activity, type ReactNode, StrictMode } from 'react'
import { type Root, createRoot, hydrateRoot } from 'react-dom/client'
import { createClient } from '@turnpike/client'
import { TurnpikeProvider } from '@turnpike/client/react'
import { type Probe, Chat, Page, probe } from './app.tsx'

interface Document {
  getElementById(id: string): (Element & { hasChildNodes(): boolean }) | null
}

const container = (globalThis as unknown as { document: Document }).document.getElementById('root')
if (!container) throw new Error('The page has no root.')
const client = createClient()
const errors: string[] = []
let root: Root

const inPage = (children: ReactNode): ReactNode => (
  <StrictMode>
    <TurnpikeProvider>{children}</TurnpikeProvider>
  </StrictMode>
)

/** What a test does with the page. */
interface Stage {
  readonly probe: Probe
  readonly errors: readonly string[]
  /** A thread, or a draft, and what is around it, with a client that the page makes. */
  readonly page: (threadId?: string) => void
  /** Several hooks on threads that are named, every render of them in the log. */
  readonly chats: (threadIds: readonly string[]) => void
  /** So many drafts, with a client that stays, and without the strictness that renders twice. */
  readonly crowd: (count: number) => void
  /** A page within what may be hidden for a while. */
  readonly room: (mode: 'visible' | 'hidden') => void
  /** A page of a client that goes by another token. */
  readonly as: (token: string) => void
  readonly nothing: () => void
}

const stage: Stage = {
  probe,
  errors,
  page: (threadId?: string) => root.render(inPage(<Page {...(threadId !== undefined && { threadId })} />)),
  chats: (threadIds: readonly string[]) =>
    root.render(
      inPage(
        threadIds.map((threadId, index) => (
          <Chat key={index} name={`c${index}`} threadId={threadId} logged />
        )),
      ),
    ),
  crowd: (count: number) =>
    root.render(
      <TurnpikeProvider client={client}>
        {Array.from({ length: count }, (_, index) => (
          <Chat key={index} name={`c${index}`} />
        ))}
      </TurnpikeProvider>,
    ),
  room: (mode) => root.render(<Activity mode={mode}>{inPage(<Page threadId="room" />)}</Activity>),
  as: (token) =>
    root.render(
      <StrictMode>
        <TurnpikeProvider token={token}>
          <Page threadId="tokens" />
        </TurnpikeProvider>
      </StrictMode>,
    ),
  nothing: () => root.render(null),
}

declare global {
  /** What a test finds on the page. */
  var stage: Stage
}

globalThis.stage = stage

if (container.hasChildNodes()) {
  root = hydrateRoot(container, inPage(<Page threadId="rendered" />), {
    onRecoverableError: (error) => errors.push(String(error)),
  })
} else {
  root = createRoot(container)
}
