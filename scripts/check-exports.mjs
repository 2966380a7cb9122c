import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseSync } from 'vite'

const MAX_NAMES = 40

const write = process.argv.includes('--write')
const folder = process.argv.slice(2).find((argument) => !argument.startsWith('--'))
const root = resolve(folder ?? join(import.meta.dirname, '..'))
const listPath = join(root, 'exports.json')
const problems = []

const actual = {}
for (const file of globSync('packages/*/package.json', { cwd: root }).toSorted()) {
  const { name, exports = {} } = JSON.parse(readFileSync(join(root, file), 'utf8'))
  for (const [subpath, conditions] of Object.entries(exports)) {
    const source = conditions['@turnpike/source']
    if (source) actual[name + subpath.slice(1)] = exportedNames(join(dirname(file), source))
  }
}
for (const [entry, names] of Object.entries(actual)) {
  if (names.length > MAX_NAMES) problems.push(`${entry} has ${names.length} names, more than ${MAX_NAMES}`)
}

if (write) {
  writeFileSync(listPath, `${JSON.stringify(actual, null, 2)}\n`)
} else {
  const difference = compare(existsSync(listPath) ? JSON.parse(readFileSync(listPath, 'utf8')) : {})
  if (difference.length > 0) {
    problems.push(
      'The public surface is not the one in exports.json (+ is new, - is gone):',
      ...difference,
      'Where that is meant: node scripts/check-exports.mjs --write',
    )
  }
}
for (const problem of problems) console.error(problem)
process.exit(problems.length > 0 ? 1 : 0)

/** The names that a file exports, values and types alike. */
function exportedNames(path) {
  if (!existsSync(join(root, path))) {
    problems.push(`${path}: an entry of package.json without a source`)
    return []
  }
  const { module, errors } = parseSync(path, readFileSync(join(root, path), 'utf8'))
  if (errors.length > 0) problems.push(`${path}: cannot be parsed: ${errors[0].message}`)
  const names = new Set()
  for (const { exportName, importName } of module.staticExports.flatMap((statement) => statement.entries)) {
    if (importName.kind.startsWith('All')) problems.push(`${path}: "export *" hides what it exports`)
    else names.add(exportName.kind === 'Default' ? 'default' : exportName.name)
  }
  return [...names].toSorted((a, b) => (a < b ? -1 : 1))
}

function compare(committed) {
  const lines = []
  for (const entry of new Set([...Object.keys(committed), ...Object.keys(actual)])) {
    const [before, now] = [committed[entry] ?? [], actual[entry] ?? []]
    const gone = now.length === 0 && !(entry in actual)
    const added = now.filter((name) => !before.includes(name)).map((name) => `    + ${name}`)
    const removed = before.filter((name) => !now.includes(name)).map((name) => `    - ${name}`)
    const sign = gone ? '- ' : entry in committed ? '  ' : '+ '
    if (sign !== '  ' || added.length + removed.length > 0)
      lines.push(`${sign}${entry}`, ...removed, ...added)
  }
  return lines
}
