import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules', '.bin')
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` }

const sources = [
  ...['packages', 'apps', 'examples', 'scripts', 'bench', 'chaos'].filter((folder) =>
    existsSync(join(root, folder)),
  ),
  ...readdirSync(root).filter((file) => file.endsWith('.ts')),
]

/** Each step gives the output of what failed; an empty text where nothing did. */
const STEPS = {
  format: () => run('oxfmt', '--check', ...sources),
  lint: () => run('oxlint', '--type-aware', '--format=unix', ...sources),
  types: () => run('tsc', '-p', 'tsconfig.check.json') + playgroundTypes(),
  arrows: () => run(process.execPath, 'scripts/check-arrows.mjs'),
  exports: () => run(process.execPath, 'scripts/check-exports.mjs'),
  lockfile: () => resolvedUrls() + run('npm', 'ci', '--dry-run', '--loglevel=error'),
}

let failed = false
for (const [name, step] of Object.entries(STEPS)) {
  const startedAt = performance.now()
  const output = step()
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${output === '' ? 'ok    ' : 'failed'}  ${name.padEnd(8)}  ${seconds} s`)
  if (output === '') continue
  failed = true
  console.log(output.trimEnd().replace(/^/gm, '  '))
}
process.exit(failed ? 1 : 0)

function run(command, ...args) {
  const { error, status, signal, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    env,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (status === 0) return ''
  return `${stdout ?? ''}${stderr ?? ''}${command} ended with ${error?.message ?? signal ?? status}\n`
}

function playgroundTypes() {
  if (!existsSync(join(root, 'apps/playground/tsconfig.json'))) return ''
  return run('tsc', '-p', 'apps/playground', '--noEmit')
}

/** A URL in the lockfile binds every installation to the registry of whoever wrote it. */
function resolvedUrls() {
  const lines = readFileSync(join(root, 'package-lock.json'), 'utf8').split('\n')
  return lines
    .flatMap((line, index) => (line.includes('"resolved": "http') ? [`${index + 1}: ${line.trim()}\n`] : []))
    .join('')
}
