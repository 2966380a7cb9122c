import type { Transport } from '@turnpike/client'
import { Store } from '../app/store.ts'

export type Theme = 'system' | 'light' | 'dark'

/** What the reader of this page has chosen. */
export interface Settings {
  /** Empty where nobody has to say who they are. Forgotten with the tab. */
  readonly token: string
  readonly wire: Transport
  /** Empty for the gateway's first one. */
  readonly agent: string
  readonly theme: Theme
  readonly reasoning: boolean
}

const KEY = 'turnpike.settings'
const TOKEN_KEY = 'turnpike.token'
const WIRES: readonly Transport[] = ['auto', 'websocket', 'sse']
const THEMES: readonly Theme[] = ['system', 'light', 'dark']

/** The settings of this page. */
export const settings = new Store<Settings>(stored())

/** Changes some settings and keeps them: the token for this tab, the others for this browser. */
export function changeSettings(change: Partial<Settings>): void {
  const next = { ...settings.get(), ...change }
  const { token, ...lasting } = next
  try {
    sessionStorage.setItem(TOKEN_KEY, token)
    localStorage.setItem(KEY, JSON.stringify(lasting))
  } catch {
    // A browser that keeps nothing: they hold until the page is left.
  }
  settings.set(next)
}

function stored(): Settings {
  const { wire, agent, theme, reasoning } = read()
  return {
    token: readItem(() => sessionStorage.getItem(TOKEN_KEY)) ?? '',
    wire: WIRES.find((each) => each === wire) ?? 'auto',
    agent: typeof agent === 'string' ? agent : '',
    theme: THEMES.find((each) => each === theme) ?? 'system',
    reasoning: reasoning !== false,
  }
}

function read(): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readItem(() => localStorage.getItem(KEY)) ?? '{}')
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

function readItem(get: () => string | null): string | null {
  try {
    return get()
  } catch {
    return null
  }
}
