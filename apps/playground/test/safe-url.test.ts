import { expect, test } from 'vitest'
import { safeUrl } from '../src/markdown/safe-url.ts'

test.each(['https://example.com/a?b#c', 'http://example.com', 'mailto:a@example.com'])(
  '%s may be followed',
  (url) => {
    expect(safeUrl(url)).toBe(url)
  },
)

test.each([
  'javascript:alert(1)',
  'JaVaScRiPt:alert(1)',
  ' javascript:alert(1)',
  'java\nscript:alert(1)',
  'data:text/html,<script>alert(1)</script>',
  'vbscript:msgbox(1)',
  'blob:https://example.com/1',
  'file:///etc/passwd',
  '/runs/1/cancel',
  '#/settings',
  '//example.com',
  '',
])('%j may not', (url) => {
  expect(safeUrl(url)).toBe('')
})
