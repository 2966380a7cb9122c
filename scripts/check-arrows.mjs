import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { parseSync, Visitor } from 'vite'

/** Which folder may import which, type imports included. Everything not listed is an error. */
const MAY_IMPORT = {
  protocol: [],
  'protocol/dialects': ['protocol'],
  client: ['protocol', 'client/wires'],
  'client/wires': ['client', 'protocol'],
  'client/react': ['client', 'protocol'],
  'client/tools': ['client', 'client/wires', 'protocol'],
  agents: ['protocol'],
  'agents/models': ['agents', 'protocol'],
  'agents/adapters': ['agents', 'protocol'],
  'gateway/timing': ['protocol'],
  'gateway/telemetry': ['protocol'],
  'gateway/links': ['protocol', 'protocol/*'],
  'gateway/stores': ['protocol', 'agents'],
  'gateway/logs': ['gateway/links', 'gateway/stores', 'gateway/timing', 'protocol', 'protocol/*', 'agents'],
  'gateway/access': ['gateway/stores', 'gateway/telemetry', 'gateway/timing', 'protocol', 'agents'],
  'gateway/authenticators': ['gateway/access', 'protocol', 'agents'],
  'gateway/runs': [
    ...['gateway/access', 'gateway/logs', 'gateway/stores', 'gateway/telemetry', 'gateway/timing'],
    ...['protocol', 'protocol/*', 'agents', 'agents/*'],
  ],
  'gateway/connections': [
    ...['gateway/access', 'gateway/links', 'gateway/logs', 'gateway/runs'],
    ...['gateway/stores', 'gateway/telemetry', 'gateway/timing', 'protocol', 'protocol/*', 'agents'],
  ],
  'gateway/entities': ['gateway/timing', 'protocol', 'protocol/*', 'agents', 'agents/*'],
  gateway: [
    ...['gateway/access', 'gateway/connections', 'gateway/entities', 'gateway/links', 'gateway/logs'],
    ...['gateway/runs', 'gateway/stores', 'gateway/telemetry', 'gateway/timing'],
    ...['protocol', 'protocol/*', 'agents'],
  ],
  'gateway/transports': [
    ...['gateway', 'gateway/access', 'gateway/connections', 'gateway/entities', 'gateway/links'],
    ...['gateway/logs', 'gateway/runs', 'gateway/stores', 'gateway/telemetry', 'gateway/timing'],
    ...['protocol', 'protocol/*', 'agents'],
  ],
  'gateway/manager': [
    ...['gateway/access', 'gateway/links', 'gateway/telemetry', 'gateway/timing', 'gateway/transports'],
    ...['protocol', 'agents'],
  ],
  'gateway/presets': ['gateway', 'gateway/*', 'protocol', 'protocol/*', 'agents', 'agents/*'],
  testkit: ['protocol', 'protocol/*', 'agents', 'agents/*', 'gateway', 'gateway/*'],
  'apps/gateway': [
    'protocol',
    'protocol/*',
    'client',
    'agents',
    'agents/*',
    'gateway',
    'gateway/*',
    'apps/playground',
  ],
  'apps/playground': ['protocol', 'protocol/*', 'client', 'client/*'],
}

/** What also runs in a browser. */
const WITHOUT_NODE = ['protocol', 'client', 'apps/playground']

const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'))
const projects = globSync(['packages/*/package.json', 'apps/*/package.json'], { cwd: root }).map((file) => {
  const manifest = JSON.parse(readFileSync(join(root, file), 'utf8'))
  const folder = dirname(file).split(sep).join('/')
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
  return { folder, unit: folder.replace(/^packages\//, ''), declared, ...manifest }
})
const problems = []
const graph = new Map()

for (const project of projects) {
  for (const file of globSync(`${project.folder}/src/**/*.{ts,tsx,mts,js,jsx,mjs}`, { cwd: root })) {
    const path = file.split(sep).join('/')
    const targets = importsOf(path).map((specifier) => target(project, path, specifier))
    graph.set(path, new Set(targets.filter((to) => to !== undefined)))
  }
}
for (const path of graph.keys()) findCycle(path, [])
for (const problem of problems) console.error(problem)
process.exit(problems.length > 0 ? 1 : 0)

/** Every specifier that a file names: imports, re-exports, `import()` as an expression and as a type. */
function importsOf(path) {
  const { program, errors } = parseSync(path, readFileSync(join(root, path), 'utf8'))
  if (errors.length > 0) problems.push(`${path}: cannot be parsed: ${errors[0].message}`)
  const found = []
  const add = ({ source }) => typeof source?.value === 'string' && found.push(source.value)
  new Visitor({
    ImportDeclaration: add,
    ExportNamedDeclaration: add,
    ExportAllDeclaration: add,
    TSImportType: add,
    ImportExpression: (node) =>
      node.source.type === 'TemplateLiteral' && node.source.expressions.length === 0
        ? found.push(node.source.quasis[0].value.cooked)
        : add(node),
  }).visit(program)
  return found
}

/** The file of ours that an import leads to, once it is known to be allowed. */
function target(project, path, specifier) {
  const refuse = (why) => void problems.push(`${path}: imports "${specifier}": ${why}`)
  if (specifier.startsWith('node:')) {
    return WITHOUT_NODE.includes(project.unit) ? refuse('this package must run without Node') : undefined
  }
  if (specifier.startsWith('.')) {
    const to = relative(root, resolve(root, dirname(path), specifier.replace(/\?.*$/, '')))
    if (!existsSync(join(root, to))) return refuse('there is no such file')
    if (!to.startsWith(join(project.folder, 'src') + sep))
      return refuse('it leaves the sources of its package')
    return allowed(path, to.split(sep).join('/'), refuse)
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  if (!project.declared.includes(name)) return refuse('package.json does not declare it')
  const other = projects.find((candidate) => candidate.name === name)
  if (!other) return undefined
  const entry = other.exports?.[`.${specifier.slice(name.length)}`]?.['@turnpike/source']
  if (other.exports && !entry) return refuse(`${name} has no such entry`)
  return allowed(
    path,
    join(other.folder, entry ?? 'package.json')
      .split(sep)
      .join('/'),
    refuse,
  )
}

function allowed(from, to, refuse) {
  const [here, there] = [unitOf(from), unitOf(to)]
  const list = MAY_IMPORT[here]
  if (!list) return refuse(`the folder ${here} is not in the table of scripts/check-arrows.mjs`)
  // The face of a package shows what its folders have.
  if (/^packages\/\w+\/src\/index\.ts$/.test(from) && there.startsWith(`${here}/`)) return to
  const any = there.replace(/^(\w+)\/\w+$/, '$1/*')
  return here === there || list.includes(there) || list.includes(any)
    ? to
    : refuse(`${here} may not import ${there}`)
}

/** `packages/gateway/src/logs/memory.ts` is of `gateway/logs`; an app is one unit as a whole. */
function unitOf(path) {
  const [kind, name, , ...rest] = path.split('/')
  if (kind === 'apps') return `apps/${name}`
  return rest.length > 1 ? `${name}/${rest[0]}` : name
}

function findCycle(path, trail) {
  const start = trail.indexOf(path)
  if (start >= 0) return void problems.push(`a cycle: ${[...trail.slice(start), path].join(' -> ')}`)
  const targets = graph.get(path) ?? []
  graph.delete(path)
  for (const to of targets) findCycle(to, [...trail, path])
}
