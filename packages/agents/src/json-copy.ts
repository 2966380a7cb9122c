import { LIMITS } from '@turnpike/protocol'

/**
 * Copies a value that has to be JSON as it stands: nothing may be lost but `undefined`, which is null on its own and in
 * a list, and left out of an object.
 *
 * @throws TypeError for anything else that JSON does not have, naming the place
 */
export function copyJson(value: unknown): unknown {
  return copy(value, '', [])
}

function copy(value: unknown, path: string, parents: readonly object[]): unknown {
  if (value === undefined || value === null) return null
  if (typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (typeof value !== 'object') throw notJson(path, typeof value === 'number' ? String(value) : typeof value)
  if (parents.includes(value)) throw notJson(path, 'a cycle')
  if (parents.length >= LIMITS.jsonDepth) throw notJson(path, `more than ${LIMITS.jsonDepth} levels`)
  const inside = [...parents, value]
  if (Array.isArray(value)) return copyList(value, path, inside)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw notJson(path, 'an instance of a class')
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  return Object.fromEntries(fields.map(([key, field]) => [key, copy(field, `${path}/${key}`, inside)]))
}

function copyList(list: readonly unknown[], path: string, parents: readonly object[]): unknown[] {
  if (Object.keys(list).length !== list.length) throw notJson(path, 'a list with holes or names')
  return list.map((item, index) => copy(item, `${path}/${index}`, parents))
}

function notJson(path: string, got: string): TypeError {
  return new TypeError(`Expected JSON, got ${got} at "${path}".`)
}
