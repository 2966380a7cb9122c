import { createHttpService } from '@turnpike/gateway'
import { countingAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { Origins } from '../src/access/origins.ts'
import { WebSocketConnectionManager } from '../src/manager/index.ts'
import { testGateway } from './harness.ts'

const origins = (allowed: readonly string[]): Origins => new Origins({ allowed, isOpen: false })

describe('a list of origins', () => {
  test.each([
    ['https://app.example', 'https://app.example'],
    ['https://app.example/', 'https://app.example'],
    ['https://APP.Example', 'https://app.example'],
    ['HTTPS://app.example:443', 'https://app.example'],
    ['http://app.example:8080/', 'http://app.example:8080'],
    ['https://bücher.example', 'https://xn--bcher-kva.example'],
    ['http://[::1]:3000', 'http://[::1]:3000'],
    ['capacitor://localhost', 'capacitor://localhost'],
    ['chrome-extension://abcdefgh', 'chrome-extension://abcdefgh'],
    ['file://', 'file://'],
    ['null', 'null'],
  ])('with %s lets in who comes from %s, and trusts it', (given, origin) => {
    const headers = { host: 'api.example', origin }
    expect(() => origins([given]).assert(headers)).not.toThrow()
    expect(origins([given]).isTrusted(headers)).toBe(true)
    expect(() => origins(['https://other.example']).assert(headers)).toThrow('not on the list')
  })

  const NEVER = [
    'app.example',
    'app.example:3000',
    'localhost',
    '//app.example',
    'https://*.example',
    '*.example',
    'https://app.example:*',
    '*',
    'https://app.example/chat',
    'https://app.example/?a=1',
    'https://app.example/#a',
    'https://ada@app.example',
    'https://app.example, https://other.example',
    'wss://app.example',
    'capacitor://localhost/',
    'data:text/html,hello',
    '',
  ]

  test.each(NEVER)('with "%s" is refused: nobody would ever come from there', (given) => {
    const list = ['https://app.example', given]
    expect(() => origins(list)).toThrow(TypeError)
    expect(() => origins(list)).toThrow(`got "${given}"`)
  })

  test('is looked at when a gateway, a manager or a service is made', () => {
    const cors = ['app.example']
    expect(() => testGateway([], { allowedOrigins: cors })).toThrow(TypeError)
    expect(() => new WebSocketConnectionManager({ allowedOrigins: cors })).toThrow(TypeError)
    for (const each of [cors, { origin: cors }, { origin: 'app.example' }]) {
      expect(() => createHttpService({ agents: countingAgent(), cors: each })).toThrow(TypeError)
    }
  })
})

test('the host of a listed origin is ours, however that is spelled', () => {
  const open = new Origins({ allowed: ['https://API.example:443/'], isOpen: true })
  expect(() => open.assert({ host: 'api.example' })).not.toThrow()
  expect(() => open.assert({ host: 'evil.example' })).toThrow('not on the list')
})
