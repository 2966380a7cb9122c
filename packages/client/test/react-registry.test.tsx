import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createClient } from '@turnpike/client'
import { TurnpikeProvider, useThreadStream } from '@turnpike/client/react'
import { renderToString } from 'react-dom/server'
import { expect, test } from 'vitest'
import { registryOf } from '../src/react/thread-registry.ts'

/** What nobody holds is gone afterwards. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('gc')
  // A weak reference holds what it was made of until the turn is over.
  await new Promise((resolve) => setImmediate(resolve))
  if (typeof gc === 'function') gc()
}

test('a render that is never shown keeps no thread, however many there are', async () => {
  await using client = createClient({ url: 'http://127.0.0.1:9' })
  const Thread = ({ id }: { id: string }): string => useThreadStream({ threadId: id }).status
  const render = (id: string): WeakRef<object> => {
    renderToString(
      <TurnpikeProvider client={client}>
        <Thread id={id} />
      </TurnpikeProvider>,
    )
    return new WeakRef(registryOf(client).thread(id, false))
  }
  const stores = Array.from({ length: 200 }, (_, index) => render(`t${index}`))
  await expect
    .poll(async () => {
      await collectGarbage()
      return stores.filter((store) => store.deref()).length
    })
    .toBe(0)
})

test('renders of a thread share its store before anything is shown', async () => {
  await using client = createClient({ url: 'http://127.0.0.1:9' })
  const registry = registryOf(client)
  const first = registry.thread('t', false)
  for (let i = 0; i < 100; i++) registry.thread(`other-${i}`, false)
  expect(registry.thread('t', false)).toBe(first)
})
