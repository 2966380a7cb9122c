import { createHash } from 'node:crypto'
import { type Kysely, type Transaction, sql } from 'kysely'
import type { Found, Indexed, IndexedText, TextSearch } from './engine.ts'
import type { Tables } from './schema.ts'

/** The latest texts that a search looks at, and the words that the last one of a query may stand for. */
const MOST_FOUND = 500
const MOST_WORDS = 16
/** Of terms that begin alike, no more are compared. */
const MOST_ALIKE = 1_000
/** Terms that need not be learned again, about 5 MB of them. */
const MOST_KNOWN = 50_000

/** The highest character there is, so that a word and it come behind all that begin with the word. */
const LAST = '\u{10ffff}'

/**
 * Search by FTS5.
 *
 * Words come parted and folded, so its tokenizer only parts at spaces. It keeps which texts have a word and no more:
 * neither the texts, nor where in them. A term is a word of one owner, so that nobody's search gets slower, or finds
 * less, by what others have written.
 *
 * Terms that begin alike are looked up in a table of all terms: FTS5's own way gathers all texts of all of them before
 * it gives the first one.
 */
export class Fts5Search implements TextSearch {
  /** By owner. */
  readonly #known = new Map<string, Set<string>>()
  #knownCount = 0

  async migrate(db: Kysely<unknown>): Promise<void> {
    for (const index of ['titles', 'messages'] as const) {
      await sql`create virtual table ${tableOf(index)} using fts5(
        words, content='', contentless_delete=1, detail=none, tokenize="ascii tokenchars '='"
      )`.execute(db)
    }
    await sql`create table known_terms (term text primary key) without rowid`.execute(db)
  }

  async learn(db: Kysely<Tables>, owner: string, words: ReadonlySet<string>): Promise<void> {
    let known = this.#known.get(owner) ?? new Set()
    const unknown: string[] = []
    for (const word of words) if (!known.has(word)) unknown.push(word)
    if (unknown.length === 0) return
    const list = JSON.stringify(termsOf(owner, unknown))
    await sql`insert or ignore into known_terms select value from json_each(${list})`.execute(db)
    this.#knownCount += unknown.length
    if (this.#knownCount > MOST_KNOWN) {
      this.#known.clear()
      this.#knownCount = unknown.length
      known = new Set()
    }
    this.#known.set(owner, known)
    // Copies: a word cut out of a text would keep the whole text in memory.
    for (const word of JSON.parse(JSON.stringify(unknown)) as string[]) known.add(word)
  }

  async add(
    transaction: Transaction<Tables>,
    index: Indexed,
    { key, owner, words }: IndexedText,
  ): Promise<void> {
    const prefix = prefixOf(owner)
    const text = words.size === 0 ? '' : prefix + Array.from(words).join(` ${prefix}`)
    await sql`insert or replace into ${tableOf(index)} (rowid, words) values (${key}, ${text})`.execute(
      transaction,
    )
  }

  async find(db: Kysely<Tables>, owner: string, words: readonly string[]): Promise<Record<Indexed, Found>> {
    const terms = termsOf(owner, words)
    const last = terms.pop() ?? ''
    const alike = [last, ...(await this.#beginningWith(db, last))].map(quoted)
    const query = [...terms.map(quoted), `(${alike.join(' OR ')})`].join(' AND ')
    const found = (index: Indexed): Found => sql<{ key: number }>`(
      select rowid as key from ${tableOf(index)} where ${tableOf(index)} match ${query} order by rowid desc limit ${MOST_FOUND}
    )`
    return { titles: found('titles'), messages: found('messages') }
  }

  /** The shortest ones. */
  async #beginningWith(db: Kysely<Tables>, term: string): Promise<readonly string[]> {
    const { rows } = await sql<{ term: string }>`
      select term from (
        select term from known_terms where term > ${term} and term < ${term + LAST} limit ${MOST_ALIKE}
      ) order by length(term), term limit ${MOST_WORDS}`.execute(db)
    return rows.map((row) => row.term)
  }
}

function tableOf(index: Indexed): ReturnType<typeof sql.table> {
  return sql.table(index === 'titles' ? 'title_index' : 'message_index')
}

/** A hash, since an owner may be called anything. No word of a text has a `=`. */
function termsOf(owner: string, words: Iterable<string>): string[] {
  const prefix = prefixOf(owner)
  return Array.from(words, (word) => prefix + word)
}

function prefixOf(owner: string): string {
  return `${createHash('sha256').update(owner).digest('hex').slice(0, 16)}=`
}

/** Makes a term a string of FTS5's language, so that it is never anything else of it. */
function quoted(term: string): string {
  return `"${term.replaceAll('"', '""')}"`
}
