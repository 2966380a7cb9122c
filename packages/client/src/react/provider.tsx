import {
  type ReactElement,
  type ReactNode,
  createContext,
  useContext,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react'
import type { Client, ClientOptions } from '../client.ts'
import { OwnedClient } from './owned-client.ts'
import { type ThreadRegistry, registryOf } from './thread-registry.ts'

type Options = Pick<ClientOptions, 'url' | 'token' | 'getToken' | 'transport'>

/** Either a client to share, or what to make one of: another `url`, `token` or `transport` is another client. */
export type TurnpikeProviderProps = { readonly children?: ReactNode } & (
  | { readonly client: Client }
  | (Options & { readonly client?: undefined })
)

const ClientContext = createContext<Client | undefined>(undefined)

/** Gives the hooks below it their client. One that it made itself it closes itself. */
export function TurnpikeProvider(props: TurnpikeProviderProps): ReactElement {
  const { client, children } = props
  if (client) return <ClientContext.Provider value={client}>{children}</ClientContext.Provider>
  return <OwnProvider {...props}>{children}</OwnProvider>
}

/** The client of the nearest provider. @throws Error where there is none */
export function useClient(): Client {
  const client = useContext(ClientContext)
  if (!client) throw new Error('There is no <TurnpikeProvider> above this component. Put one around it.')
  return client
}

/** What the hooks of the nearest provider share. */
export function useRegistry(): ThreadRegistry {
  return registryOf(useClient())
}

function OwnProvider({
  url,
  token,
  getToken,
  transport,
  children,
}: Options & { children?: ReactNode }): ReactElement {
  const latest = useRef(getToken)
  useLayoutEffect(() => {
    latest.current = getToken
  })
  const hasGetToken = getToken !== undefined
  const [generation, setGeneration] = useState(0)
  const owned = useMemo(() => {
    // A page that was hidden and is shown again needs another one.
    void generation
    return new OwnedClient({
      ...(url !== undefined && { url }),
      ...(transport && { transport }),
      token,
      getToken: hasGetToken ? () => latest.current?.() : undefined,
    })
  }, [generation, url, token, transport, hasGetToken])
  useEffect(() => {
    if (owned.isClosed) setGeneration((before) => before + 1)
    else return owned.hold()
  }, [owned])
  return <ClientContext.Provider value={owned.client}>{children}</ClientContext.Provider>
}
