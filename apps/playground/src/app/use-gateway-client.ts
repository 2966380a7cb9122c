import { useEffect, useState } from 'react'
import { type Client, type Transport, createClient } from '@turnpike/client'
import { network } from '../network/network.ts'
import { watchConnection } from '../figures/watch-connection.ts'

/** The client of the gateway that serves this page. Another token or wire is another client. */
export function useGatewayClient(token: string, wire: Transport): Client | undefined {
  const [client, setClient] = useState<Client>()
  useEffect(() => {
    const made = createClient({
      transport: wire,
      fetch: network.fetch,
      WebSocket: network.WebSocket,
      surroundings: network.surroundings,
      ...(token !== '' && { token }),
    })
    const stopWatching = watchConnection(made)
    setClient(made)
    return () => {
      stopWatching()
      made.close()
    }
  }, [token, wire])
  return client
}
