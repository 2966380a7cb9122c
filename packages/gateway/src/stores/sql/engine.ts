import type { Expression, Kysely, RawBuilder, Transaction } from 'kysely'
import type { Tables } from './schema.ts'

/** What is another thing in each SQL engine; all else is written once, for all of them. */
export interface SqlEngine {
  /** The data type of a key that the engine counts up by itself. */
  readonly keyType: Expression<unknown>
  readonly search: TextSearch
}

/** Which texts: titles have the key of their thread, messages their own. */
export type Indexed = 'titles' | 'messages'

/** A text with its words, of one owner. */
export interface IndexedText {
  readonly key: number
  readonly owner: string
  readonly words: ReadonlySet<string>
}

/** Finds texts by their words. */
export interface TextSearch {
  /** Makes its tables. */
  migrate(db: Kysely<unknown>): Promise<void>
  /** Learns the words of an owner before texts are indexed with them, outside of the transaction that does so. */
  learn(db: Kysely<Tables>, owner: string, words: ReadonlySet<string>): Promise<void>
  /** Adds a text or replaces it. */
  add(transaction: Transaction<Tables>, index: Indexed, text: IndexedText): Promise<void>
  /**
   * Makes queries for the keys of the texts of one owner that have all of the words, the latest and a bounded number.
   * The last word stands for those it begins, too.
   *
   * @param words - At least one.
   */
  find(db: Kysely<Tables>, owner: string, words: readonly string[]): Promise<Record<Indexed, Found>>
}

/** A query for keys. */
export type Found = RawBuilder<{ key: number }>
