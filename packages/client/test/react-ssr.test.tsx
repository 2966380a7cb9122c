import { StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import { createClient } from '@turnpike/client'
import { TurnpikeProvider, useClient, useThreadStream } from '@turnpike/client/react'
import { expect, test } from 'vitest'
import { Page } from './react-page/app.tsx'

test('a server renders the loading state, and asks for nothing', async () => {
  await using client = createClient({
    url: 'http://127.0.0.1:9',
    fetch: () => Promise.reject(new Error('A server has nothing to ask for.')),
  })
  const html = renderToString(
    <StrictMode>
      <TurnpikeProvider client={client}>
        <Page threadId="rendered" />
      </TurnpikeProvider>
    </StrictMode>,
  )
  expect(html).toContain('<section id="chat" data-status="loading"><ol></ol></section>')
  expect(html).toContain('data-connection="idle"')
  expect(client.connection.state).toEqual({ status: 'idle' })
})

test('a provider that makes its client needs no address on a server', () => {
  const html = renderToString(
    <TurnpikeProvider>
      <Page />
    </TurnpikeProvider>,
  )
  expect(html).toContain('data-status="idle"')
})

test('a hook without a provider says what is missing', () => {
  function Lost(): undefined {
    useClient()
  }
  expect(() => renderToString(<Lost />)).toThrow('There is no <TurnpikeProvider> above this component.')
})

test('a thread has the same functions as long as it is the same thread', () => {
  const seen: unknown[] = []
  function Twice(): string {
    const { send } = useThreadStream({ threadId: 't' })
    const again = useThreadStream({ threadId: 't' })
    seen.push(send, again.cancel)
    return again.status
  }
  const html = renderToString(
    <TurnpikeProvider url="http://127.0.0.1:9">
      <Twice />
    </TurnpikeProvider>,
  )
  expect(html).toBe('loading')
  expect(seen).toEqual([expect.any(Function), expect.any(Function)])
})
