/** The segments of a path; undefined stands for a parameter. */
export type PathShape = readonly (string | undefined)[]

/** One segment of a path that is written out: what neither a router nor a URL reads otherwise. */
const LITERAL = /^[\w.~@-]+$/
const PARAMETER = /^:[A-Za-z_]\w*$/

/** Reads `/reports/:id`. @throws TypeError where it is no such path */
export function pathShapeOf(path: unknown): PathShape {
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw new TypeError(`"path" has to begin with "/", got "${String(path)}".`)
  }
  const segments = path === '/' ? [] : path.slice(1).split('/')
  const names = segments.filter((segment) => PARAMETER.test(segment))
  if (new Set(names).size < names.length) throw new TypeError(`"path" names a parameter twice: "${path}".`)
  return segments.map((segment) => {
    if (PARAMETER.test(segment)) return undefined
    if (LITERAL.test(segment) && segment !== '.' && segment !== '..') return segment
    throw new TypeError(`"path" has to be of names and ":parameters", got "${path}".`)
  })
}

/** Reads the path that all others are below, `/api` or none. @throws TypeError where it is no such path */
export function basePathOf(path: string): string {
  if (path === '' || path === '/') return ''
  const trimmed = path.replace(/\/$/, '')
  const shape = pathShapeOf(trimmed)
  if (shape.length > 0 && !shape.includes(undefined)) return trimmed
  throw new TypeError(`"basePath" has to be of names and no parameters, got "${path}".`)
}

/** The same with parameters as OpenAPI writes them, and their names. */
export function templateOf(path: string): {
  readonly template: string
  readonly parameters: readonly string[]
} {
  const parameters: string[] = []
  const template = path.replace(/:(\w+)/g, (_, name: string) => {
    parameters.push(name)
    return `{${name}}`
  })
  return { template, parameters }
}

/** Whether a path matches whatever the other one does. */
export function covers(one: PathShape, other: PathShape): boolean {
  return (
    one.length === other.length &&
    one.every((segment, index) => segment === undefined || segment === other[index])
  )
}

/** Puts what is written out before parameters. */
export function comparePaths(one: PathShape, other: PathShape): number {
  if (one.length !== other.length) return one.length - other.length
  const parts = one.map(
    (segment, index) => Number(segment === undefined) - Number(other[index] === undefined),
  )
  return parts.find((part) => part !== 0) ?? 0
}
