import { GatewayError } from '@turnpike/protocol'
import { describe, expect, test } from 'vitest'
import { backoffMs } from '../src/backoff.ts'
import { shouldProbe } from '../src/liveness.ts'
import { nextStep } from '../src/reconnect.ts'
import { Tokens } from '../src/tokens.ts'
import { UNTRIED, afterFailure, afterSuccess } from '../src/wire-choice.ts'

describe('the pause before an attempt', () => {
  test('is drawn from all of a range that doubles from half a second to twenty', () => {
    const ranges = [0, 1, 2, 5, 6, 50, 2_000].map((attempt) => backoffMs(attempt, 1))
    expect(ranges).toEqual([500, 1_000, 2_000, 16_000, 20_000, 20_000, 20_000])
    expect(backoffMs(3, 0)).toBe(0)
    expect(backoffMs(3, 0.25)).toBe(1_000)
  })
})

describe('after a link has ended', () => {
  const facts = { attempt: 0, random: 0.5, mayRenew: false }

  test.each([4400, 4403, 4404, 4406, 4408, 4429, 4499])('close code %i is final', (closeCode) => {
    expect(nextStep({ ...facts, end: { reached: true, closeCode } }).step).toBe('give-up')
  })

  test.each([1000, 1001, 1006, 1009, 1011, 1012, 4500, 4513, 4529, 4599, 4999, undefined])(
    'close code %s is tried again',
    (closeCode) => {
      const end = { reached: true, ...(closeCode !== undefined && { closeCode }) }
      expect(nextStep({ ...facts, end }).step).toBe('retry')
    },
  )

  test('the error of a final close has the code of the table', () => {
    const step = nextStep({ ...facts, end: { reached: true, closeCode: 4403 } })
    expect(step).toMatchObject({ step: 'give-up', error: { code: 'forbidden' } })
  })

  test.each(['unauthorized', 'token-expired'] as const)(
    '%s asks for a token, if there may be one',
    (code) => {
      const end = { reached: true, error: new GatewayError(code, 'No.') }
      expect(nextStep({ ...facts, end, mayRenew: true })).toEqual({ step: 'renew-token' })
      expect(nextStep({ ...facts, end })).toMatchObject({ step: 'give-up', error: { code } })
    },
  )

  test.each([4401, 4501])('close code %i is about the token', (closeCode) => {
    const end = { reached: true, closeCode }
    expect(nextStep({ ...facts, end, mayRenew: true })).toEqual({ step: 'renew-token' })
  })

  test('what the server asks to wait comes before the jitter', () => {
    const end = { reached: true, retryAfterMs: 3_000 }
    expect(nextStep({ ...facts, end })).toEqual({ step: 'retry', delayMs: 3_250, leastMs: 3_000 })
    const error = new GatewayError('too-many-connections', 'Full.', { retryAfterMs: 7_000 })
    expect(nextStep({ ...facts, end: { reached: true, error } })).toMatchObject({ leastMs: 7_000 })
  })

  test('a refusal over HTTP is final where the table says never', () => {
    const error = new GatewayError('origin-not-allowed', 'No.')
    expect(nextStep({ ...facts, end: { reached: true, error } }).step).toBe('give-up')
  })
})

describe('a connection is probed', () => {
  test('after a silence, and after a time in which nobody was awake; not before', () => {
    expect(shouldProbe({ now: 24_999, heardAt: 0, tickedAt: 20_000 })).toBe(false)
    expect(shouldProbe({ now: 25_000, heardAt: 0, tickedAt: 20_000 })).toBe(true)
    expect(shouldProbe({ now: 15_000, heardAt: 14_000, tickedAt: 0 })).toBe(true)
    expect(shouldProbe({ now: 14_999, heardAt: 14_000, tickedAt: 0 })).toBe(false)
  })
})

describe('tokens', () => {
  test('are asked for once by all who ask at the same time, and then kept', async () => {
    let asked = 0
    const tokens = new Tokens({ getToken: async () => `t${++asked}` })
    expect(await Promise.all([tokens.get(), tokens.get(), tokens.get()])).toEqual(['t1', 't1', 't1'])
    expect(await tokens.get()).toBe('t1')
    expect(asked).toBe(1)
  })

  test('are asked for again after a refusal, once; accepted ones count from anew', async () => {
    let asked = 0
    const tokens = new Tokens({ getToken: () => `t${++asked}` })
    expect(tokens.refused(await tokens.get())).toBe(true)
    expect(tokens.refused('t1')).toBe(true)
    expect(await tokens.get()).toBe('t2')
    tokens.accepted()
    expect(tokens.refused('t2')).toBe(true)
    expect(tokens.refused(await tokens.get())).toBe(false)
    expect(asked).toBe(3)
  })

  test('that are given for good are refused for good', () => {
    expect(new Tokens({ token: 'only' }).refused('only')).toBe(false)
  })

  test('whose source fails are asked for again', async () => {
    let asked = 0
    const tokens = new Tokens({
      getToken: () => (asked++ === 0 ? Promise.reject(new Error('offline')) : 'late'),
    })
    await expect(tokens.get()).rejects.toThrow('offline')
    expect(await tokens.get()).toBe('late')
  })
})

describe('a preferred wire', () => {
  test('is left alone for longer and longer while it is blocked, and HTTP works', () => {
    const once = afterFailure(UNTRIED, { httpWorks: true, now: 0 })
    const twice = afterFailure(once, { httpWorks: true, now: 60_000 })
    expect([once.blockedUntil, twice.blockedUntil]).toEqual([60_000, 180_000])
    let health = twice
    for (let i = 0; i < 20; i++) health = afterFailure(health, { httpWorks: true, now: 0 })
    expect(health.blockedUntil).toBe(30 * 60_000)
  })

  test('is not to blame where nothing works', () => {
    expect(afterFailure(UNTRIED, { httpWorks: false, now: 0 }).blockedUntil).toBe(0)
  })

  test('that has worked before gets a second chance', () => {
    const once = afterFailure(afterSuccess(), { httpWorks: true, now: 5 })
    expect(once.blockedUntil).toBe(0)
    expect(afterFailure(once, { httpWorks: true, now: 5 }).blockedUntil).toBe(60_005)
  })
})
