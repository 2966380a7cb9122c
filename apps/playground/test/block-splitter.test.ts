import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockSplitter } from '../src/markdown/block-splitter.ts'

const PIECES = [
  'word ',
  '\n',
  '\n\n',
  '- item\n',
  '  - deeper\n',
  '1. one\n',
  '```ts\n',
  '```\n',
  'const a = 1\n',
  '| a | b |\n',
  '| - | - |\n',
  '# Title\n',
  '> said\n',
  '---\n',
  '    indented\n',
  '<div>\n',
  '**bold** ',
  '\r\n',
  '* * *\n',
] as const

test('a text that grows has the blocks that it has when it comes at once', () => {
  const anyText = fc.array(fc.constantFrom(...PIECES), { maxLength: 40 })
  fc.assert(
    fc.property(anyText, (pieces) => {
      const growing = new BlockSplitter()
      let text = ''
      for (const piece of pieces) {
        text += piece
        expect(growing.split(text)).toEqual(new BlockSplitter().split(text))
      }
    }),
    { numRuns: 300 },
  )
})

test('nothing of a text is lost', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(new BlockSplitter().split(text).join('')).toBe(text.replaceAll(/\r\n?/g, '\n'))
    }),
  )
})

test('a block that is settled stays the same while the text goes on', () => {
  const splitter = new BlockSplitter()
  const before = splitter.split('First.\n\nSecond.\n\nThird.\n\nFou')
  const after = splitter.split('First.\n\nSecond.\n\nThird.\n\nFourth.\n\n- and a list')
  expect(after.slice(0, 3)).toEqual(before.slice(0, 3))
  expect(after).toHaveLength(5)
})

test('a text that does not continue the one before is split anew', () => {
  const splitter = new BlockSplitter()
  splitter.split('One.\n\nTwo.\n\nThree.\n\nFour.')
  expect(splitter.split('Else.\n\nTwo.')).toEqual(['Else.\n\n', 'Two.'])
})
