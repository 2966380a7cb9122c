import { expect, test } from 'vitest'
import { loggerWithout } from '../src/redaction.ts'
import { recordingLogger } from './harness.ts'

const SECRET = 'sk-"1+2'

test('a secret stands nowhere in what is logged, as it is, in JSON or in a URL', () => {
  const logger = recordingLogger()
  const cause = Object.assign(new Error(`for ${SECRET}`), {
    body: JSON.stringify({ key: SECRET }),
    list: [SECRET],
  })
  const error = new Error('outer', { cause })
  loggerWithout(SECRET, logger).error({ error, [SECRET]: encodeURIComponent(SECRET), n: 7 }, 'failed')
  const [fields] = logger.errors as { error: Error; n: number }[]
  const inner = fields?.error.cause
  expect(fields).toMatchObject({ n: 7, error: { name: 'Error', message: 'outer' } })
  expect(inner).toMatchObject({ message: 'for [hidden]', body: '{"key":"[hidden]"}', list: ['[hidden]'] })
  expect(inner instanceof Error && inner.stack).toMatch(/redaction\.test/)
  expect(JSON.stringify(Object.entries(fields ?? {}))).not.toMatch(/sk-/)
  expect(fields?.error.stack).not.toContain(SECRET)
})

test('what refers to itself, or is bytes, is not followed', () => {
  const logger = recordingLogger()
  const loop: { self?: unknown; bytes: Uint8Array } = { bytes: new Uint8Array(9) }
  loop.self = loop
  loggerWithout(SECRET, logger).error({ loop }, 'failed')
  expect(logger.errors).toStrictEqual([{ loop: { bytes: '[hidden]', self: '[hidden]' } }])
})
