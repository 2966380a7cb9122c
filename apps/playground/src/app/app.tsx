import { type ReactElement, useCallback, useState } from 'react'
import { TurnpikeProvider } from '@turnpike/client/react'
import { settings } from '../settings/settings.ts'
import { Frame } from './frame.tsx'
import { useGatewayClient } from './use-gateway-client.ts'
import { useStore } from './use-store.ts'
import { useTheme } from './use-theme.ts'

/** The page. */
export function App(): ReactElement | null {
  const { token, wire, theme } = useStore(settings)
  useTheme(theme)
  const client = useGatewayClient(token, wire)
  const [inspecting, setInspecting] = useState(false)
  const inspect = useCallback((isInspecting: boolean) => setInspecting(isInspecting), [])
  if (!client) return null
  return (
    <TurnpikeProvider client={client}>
      <Frame isInspecting={inspecting} onInspect={inspect} />
    </TurnpikeProvider>
  )
}
