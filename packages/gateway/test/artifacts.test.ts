import { defineAgent } from '@turnpike/agents'
import { expect, test } from 'vitest'
import { serve } from './server.ts'

const writer = defineAgent({
  name: 'writer',
  register: false,
  async *run(_input, { artifacts }) {
    await artifacts.create({ id: 'plan', kind: 'markdown', title: 'Plan', content: 'one' })
    await artifacts.update('plan', { content: 'two' })
    yield 'written'
  },
})

test('an artifact outlasts its events: the latest version, any other, and nobody else\u2019s', async () => {
  const authenticate = async (token: string): Promise<{ id: string }> => ({ id: token })
  await using server = await serve([writer], { authenticate })
  const read = async (path: string, user = 'ada'): Promise<unknown> => {
    const response = await fetch(server.baseUrl + path, { headers: { authorization: `Bearer ${user}` } })
    return response.json()
  }
  const body = JSON.stringify({ message: 'm', threadId: 't' })
  const headers = { authorization: 'Bearer ada' }
  await (await fetch(`${server.baseUrl}/agents/writer/chat/stream`, { method: 'POST', body, headers })).text()
  const latest = { id: 'plan', version: 2, kind: 'markdown', title: 'Plan', content: 'two' }
  expect(await read('/threads/t/artifacts/plan')).toEqual({ artifact: latest })
  expect(await read('/threads/t/artifacts/plan?version=1')).toMatchObject({ artifact: { content: 'one' } })
  const unknown = { error: { code: 'unknown-artifact' } }
  expect(await read('/threads/t/artifacts/plan?version=3')).toMatchObject(unknown)
  expect(await read('/threads/t/artifacts/other')).toMatchObject(unknown)
  expect(await read('/threads/t/artifacts/plan', 'eve')).toMatchObject({ error: { code: 'unknown-thread' } })
  expect(await read('/threads/t/artifacts/plan?version=x')).toMatchObject({
    error: { code: 'invalid-payload' },
  })
})
