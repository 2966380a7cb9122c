import type { ReactElement } from 'react'

interface Suggestion {
  readonly title: string
  readonly note: string
  readonly text: string
  readonly agent?: string
}

const SUGGESTIONS: readonly Suggestion[] = [
  {
    title: 'A long story',
    note: 'Cut the connection in the middle of it, wait, and let it come back.',
    text: 'Tell me a long story',
  },
  {
    title: 'A tour with tools',
    note: 'Memory, a document, background work, and a postcard that needs your approval.',
    text: 'Plan a day for me in Lisbon',
    agent: 'showcase',
  },
  {
    title: 'A broken answer',
    note: 'What has been said is kept, and the error has a code.',
    text: 'Fail, please',
  },
]

export interface WelcomeProps {
  /** The names of the agents that are served; empty until they are known. */
  readonly agents: readonly string[]
  /** The gateway wants to know who its reader is. */
  readonly needsToken: boolean
  readonly onChoose: (text: string, agent: string | undefined) => void
}

/** What a thread shows before anything was said. */
export function Welcome({ agents, needsToken, onChoose }: WelcomeProps): ReactElement {
  const isServed = (agent: string | undefined): boolean =>
    agent === undefined || agents.length === 0 || agents.includes(agent)
  return (
    <section className="welcome" data-testid="welcome" aria-labelledby="welcome-title">
      <h2 id="welcome-title">
        <span>Any agent in,</span> <span>any wire out,</span> <span>never a lost event.</span>
      </h2>
      <p>
        A run belongs to the server, not to this page. Close the tab, cut the connection, open a second
        window: the answer goes on, and you get exactly the events you missed.
      </p>
      {needsToken && (
        <p className="notice">
          This gateway asks who you are. <a href="#/settings">Set a token</a>
        </p>
      )}
      <ul className="suggestions">
        {SUGGESTIONS.filter(({ agent }) => isServed(agent)).map(({ title, note, text, agent }) => (
          <li key={title}>
            <button type="button" onClick={() => onChoose(text, agent)}>
              <strong>{title}</strong>
              <span>{note}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
