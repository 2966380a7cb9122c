import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { loggerWithout } from '../src/telemetry/redaction.ts'
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

const broken = (): never => {
  throw new Error('not to be read')
}

test.each<[string, () => unknown]>([
  ['a message that is no text', () => Object.assign(new Error('x'), { message: { code: 429, key: SECRET } })],
  ['a stack that is nothing', () => Object.assign(new Error('x'), { stack: null, name: 7 })],
  [
    'a field that throws',
    () => Object.defineProperty(new Error('x'), 'no', { enumerable: true, get: broken }),
  ],
  ['a message that throws', () => Object.defineProperty(new Error('x'), 'message', { get: broken })],
  ['a cause that tells nothing', () => new Error('x', { cause: new Proxy({}, { ownKeys: broken }) })],
  ['a cause that is of no kind', () => new Error('x', { cause: new Proxy({}, { getPrototypeOf: broken }) })],
  ['a cause that is gone', () => new Error('x', { cause: revoked() })],
  ['all of it gone', () => revoked()],
  ['a text of half a letter', () => new Error(`\ud800 ${SECRET}`)],
])('an error with %s is logged as far as it can be read', (_title, odd) => {
  const logger = recordingLogger()
  loggerWithout(SECRET, logger).error({ error: odd(), n: 7 }, 'failed')
  loggerWithout(SECRET, logger).error(Object(odd()), 'failed')
  expect(logger.errors).toHaveLength(2)
  expect(logger.errors[0]).toMatchObject({ n: 7 })
  expect(inspect(logger.errors, { depth: null })).not.toContain('sk-')
})

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
