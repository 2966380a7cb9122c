import { describe, expect, test } from 'vitest'
import type { Retry } from '../src/errors.ts'
import { type ErrorCode, ERRORS, GatewayError, isErrorCode } from '../src/index.ts'

interface Row {
  readonly code: ErrorCode
  readonly http: number
  readonly close?: number
  readonly retry: Retry
}

const codes = Object.keys(ERRORS).filter(isErrorCode)
const rows = codes.map((code): Row => ({ code, ...ERRORS[code] }))
const closing = rows.flatMap(({ close, ...row }) => (close === undefined ? [] : [{ ...row, close }]))

describe('the table of errors', () => {
  test.each(codes)('%s survives the way over a wire', (code) => {
    for (const retryAfterMs of [undefined, 0, 1_500]) {
      const sent = new GatewayError(
        code,
        'What happened.',
        retryAfterMs === undefined ? {} : { retryAfterMs },
      )
      const received = GatewayError.from(JSON.parse(JSON.stringify(sent)))
      expect(received).toBeInstanceOf(GatewayError)
      expect(received.toJSON()).toStrictEqual(sent.toJSON())
      expect(received.row).toBe(ERRORS[code])
    }
  })

  test('has codes in kebab case', () => {
    for (const code of codes) expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/)
  })

  test('gives every error a status that says whose fault it is', () => {
    for (const { code, http } of rows)
      expect(http, code).toSatisfy((status) => status >= 400 && status <= 599)
  })

  test('gives every closing error a close code of its own', () => {
    expect(new Set(closing.map(({ close }) => close)).size).toBe(closing.length)
  })

  test('closes with a code of ours, or with one that the protocol defines', () => {
    const outside = closing.filter(({ close }) => close < 4400 || close > 4599)
    expect(new Set(outside.map(({ close }) => close))).toStrictEqual(new Set([1009, 1012]))
  })

  test('has nobody reconnect after 4400 to 4499', () => {
    const final = closing.filter(({ close }) => close >= 4400 && close < 4500)
    expect(final.length).toBeGreaterThan(0)
    for (const { code, retry } of final) expect(retry, code).toBe('never')
  })

  test('has everybody retry after 4500 to 4599', () => {
    const passing = closing.filter(({ close }) => close >= 4500 && close < 4600)
    expect(passing.length).toBeGreaterThan(0)
    for (const { code, retry } of passing) expect(retry, code).not.toBe('never')
  })
})

describe('an error from outside', () => {
  test.each(['made-up', '', 'constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    'with the code "%s" is internal',
    (code) => {
      expect(isErrorCode(code)).toBe(false)
      expect(GatewayError.from({ code, message: 'What happened.' }).toJSON()).toStrictEqual({
        code: 'internal',
        message: 'What happened.',
      })
    },
  )

  test('never shows its cause', () => {
    const error = new GatewayError('internal', 'Something failed.', { cause: new Error('secret') })
    expect(JSON.stringify(error)).toBe('{"code":"internal","message":"Something failed."}')
    expect(error.cause).toBeInstanceOf(Error)
  })
})
