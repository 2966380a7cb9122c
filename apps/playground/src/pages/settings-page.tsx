import type { ReactElement } from 'react'
import { useAgents } from '@turnpike/client/react'
import { useStore } from '../app/use-store.ts'
import { changeSettings, settings } from '../settings/settings.ts'
import { ChoiceField } from '../settings/choice-field.tsx'
import { TokenField } from '../settings/token-field.tsx'
import { Page } from './page.tsx'

const WIRES = [
  ['auto', 'Automatic', 'WebSocket, and event streams where something on the way blocks that.'],
  ['websocket', 'WebSocket', 'One socket for everything.'],
  ['sse', 'Event streams', 'HTTP alone: one stream a thread.'],
] as const

const THEMES = [
  ['system', 'As the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
] as const

/** What the reader may choose. */
export function SettingsPage(): ReactElement {
  const { token, wire, agent, theme, reasoning } = useStore(settings)
  const { agents } = useAgents()
  return (
    <Page title="Settings" lead="They hold at once, and for this browser alone.">
      <TokenField token={token} onToken={(next) => changeSettings({ token: next })} />
      <ChoiceField
        name="wire"
        legend="Wire"
        choices={WIRES}
        value={wire}
        onChange={(next) => changeSettings({ wire: next })}
      />
      <div className="setting">
        <label htmlFor="agent-setting">Agent of new conversations</label>
        <select
          id="agent-setting"
          className="field"
          value={agent}
          onChange={({ target }) => changeSettings({ agent: target.value })}
        >
          <option value="">The gateway’s first</option>
          {agents.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        {agents.map(({ name, description, model }) => (
          <p key={name} className="setting-note">
            <strong>{name}</strong> {model && <code>{model}</code>} {description}
          </p>
        ))}
      </div>
      <ChoiceField
        name="theme"
        legend="Theme"
        choices={THEMES}
        value={theme}
        onChange={(next) => changeSettings({ theme: next })}
      />
      <div className="setting">
        <label className="check">
          <input
            type="checkbox"
            checked={reasoning}
            onChange={({ target }) => changeSettings({ reasoning: target.checked })}
          />
          Show what models think
        </label>
        <p className="setting-note">Without it, the gateway does not even send it.</p>
      </div>
    </Page>
  )
}
