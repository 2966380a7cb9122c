/** The scripts that put no spaces between words. Hangul is not one of them. */
const SPACELESS =
  '\\p{scx=Han}\\p{scx=Hiragana}\\p{scx=Katakana}\\p{scx=Thai}\\p{scx=Lao}\\p{scx=Khmer}\\p{scx=Myanmar}'

/** A run of text without spaces, a word, or an emoji. */
const PIECES = new RegExp(
  `[[${SPACELESS}]&&[\\p{L}\\p{N}\\p{M}]]+|[[\\p{L}\\p{N}]--[${SPACELESS}]][[\\p{L}\\p{N}\\p{M}]--[${SPACELESS}]]*` +
    `|\\p{Extended_Pictographic}`,
  'gv',
)
const IS_SPACELESS = new RegExp(`^[${SPACELESS}]`, 'v')

/** Beyond this a word is cut; nobody looks for more of it. */
const WORD_CHARS = 64

// oxlint-disable-next-line no-control-regex
const NOT_ASCII = /[^\x00-\x7f]/

const [A, Z, ZERO, NINE] = [97, 122, 48, 57] as const

const segmenter = new Intl.Segmenter('en', { granularity: 'word' })

/**
 * The words of a text, each once, in the order they come: folded to lower case and to one form of each letter.
 *
 * Chinese, Japanese, Thai and their like are parted by a dictionary. That is slow, so all else is not: there, words are
 * letters and digits in a row.
 */
export function wordsOf(text: string): ReadonlySet<string> {
  // Most texts: no folding of letters to be done, and parted several times as fast.
  if (!NOT_ASCII.test(text)) return plainWordsOf(text.toLowerCase())
  const words = new Set<string>()
  for (const [piece] of text.normalize('NFKC').toLowerCase().matchAll(PIECES)) {
    if (!IS_SPACELESS.test(piece)) words.add(piece.length > WORD_CHARS ? cut(piece) : piece)
    else
      for (const { segment, isWordLike } of segmenter.segment(piece)) if (isWordLike) words.add(cut(segment))
  }
  return words
}

/** By hand, which takes half the time of a regular expression: every answer that is stored comes by here. */
function plainWordsOf(text: string): ReadonlySet<string> {
  const words = new Set<string>()
  let start = -1
  for (let index = 0; index <= text.length; index++) {
    const code = text.charCodeAt(index)
    if ((code >= A && code <= Z) || (code >= ZERO && code <= NINE)) {
      if (start < 0) start = index
    } else if (start >= 0) {
      words.add(text.slice(start, Math.min(index, start + WORD_CHARS)))
      start = -1
    }
  }
  return words
}

/**
 * What a word counts that `spread` of `total` texts have: the inverse document frequency of BM25, which is above 0 for
 * one that all have, too.
 */
export function rarityOf(spread: number, total: number): number {
  return Math.log(1 + (total - spread + 0.5) / (spread + 0.5))
}

function cut(word: string): string {
  return word.slice(0, WORD_CHARS).toWellFormed()
}
