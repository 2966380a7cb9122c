import { afterEach, expect, test, vi } from 'vitest'
import { Listeners } from '../src/react/listeners.ts'
import { onNextFrame } from '../src/react/next-frame.ts'

afterEach(() => vi.unstubAllGlobals())

const broken = (): never => {
  throw new Error('broken')
}

test('a listener that throws is reported, and the others of the frame are called all the same', async () => {
  const report = vi.fn<(error: unknown) => void>()
  vi.stubGlobal('reportError', report)
  onNextFrame(broken)
  await new Promise<void>((resolve) => onNextFrame(resolve))
  expect(report).toHaveBeenCalledWith(new Error('broken'))
  await new Promise<void>((resolve) => onNextFrame(resolve))
})

test('a listener that throws takes nothing from those behind it', () => {
  vi.stubGlobal('reportError', () => {})
  const listeners = new Listeners()
  const heard = vi.fn<() => void>()
  listeners.add(broken)
  listeners.add(heard)
  listeners.tell()
  expect(heard).toHaveBeenCalledOnce()
})
