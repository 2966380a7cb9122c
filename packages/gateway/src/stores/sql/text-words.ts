import { wordsOf } from '@turnpike/agents/words'

/** Of a longer text only the beginning is found by its words. */
const TEXT_CHARS = 65_536
/** Of a longer query only the beginning is looked for. */
const QUERY_CHARS = 1_000
const QUERY_WORDS = 16

/** What a text is found by. */
export function indexedWords(text: string): ReadonlySet<string> {
  return wordsOf(text.slice(0, TEXT_CHARS))
}

/** The words of a query, as many as anybody may look for at once. */
export function searchedWords(query: string): readonly string[] {
  return [...wordsOf(query.slice(0, QUERY_CHARS))].slice(0, QUERY_WORDS)
}
