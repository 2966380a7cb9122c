import { type RawBuilder, type SqlBool, sql } from 'kysely'

/**
 * Runs that go on, or whose background operations do. An index has only those: a query finds it only with this very
 * text, so nothing in it is a parameter.
 */
export const isUnfinished: RawBuilder<SqlBool> = sql`(state in ('queued', 'running', 'parked') or background is not null)`
