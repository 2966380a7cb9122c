import { type CommandName, type PayloadOf, GatewayError } from '@turnpike/protocol'
import { type Link, type Outcome, LinkLost } from '@turnpike/client/wire'
import { expect, test } from 'vitest'
import { Outbox } from '../src/outbox.ts'

interface Asked {
  readonly command: CommandName
  readonly payload: PayloadOf<CommandName>
  readonly settle: (outcome: Outcome<CommandName>) => void
}

/** A link that keeps what it is asked, for the test to answer. */
function recordingLink(): Link & { readonly asked: Asked[] } {
  const asked: Asked[] = []
  return {
    asked,
    heardAt: 0,
    request: (command, payload, settle) =>
      void asked.push({ command, payload, settle: settle as Asked['settle'] }),
    probe() {},
    close() {},
  }
}

const refusesTrouble = { onTrouble: (error: GatewayError) => expect.fail(error.message) }

test('what was not answered is asked again over the next link, and once it is answered never again', async () => {
  const outbox = new Outbox(refusesTrouble)
  const [first, second, third] = [recordingLink(), recordingLink(), recordingLink()]
  const answered = outbox.request('run.cancel', { runId: 'r' })
  expect(outbox.size).toBe(1)
  outbox.attach(first)
  outbox.detach()
  first.asked[0]?.settle({ error: new LinkLost() })
  outbox.attach(second)
  for (const { asked } of [first, second]) {
    expect(asked).toMatchObject([{ command: 'run.cancel', payload: { runId: 'r' } }])
  }
  second.asked[0]?.settle({ answer: { ok: true, status: 'cancelling' } })
  expect(await answered).toMatchObject({ status: 'cancelling' })
  outbox.attach(third)
  expect(third.asked).toEqual([])
  expect(outbox.size).toBe(0)
})

test('what the server refuses is not asked again', async () => {
  const outbox = new Outbox(refusesTrouble)
  const link = recordingLink()
  outbox.attach(link)
  const refused = outbox.request('run.cancel', { runId: 'r' })
  link.asked[0]?.settle({ error: new GatewayError('unknown-run', 'There is no run of that id.') })
  await expect(refused).rejects.toMatchObject({ code: 'unknown-run' })
  outbox.attach(link)
  expect(link.asked).toHaveLength(1)
})
