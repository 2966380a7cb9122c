// Breaks one thing at a time, in a copy of the repository, and tells whether the tests named for it notice.
//
//   node scripts/mutations.mjs [--list] [--only <word>]… [--trust]
//
// `--only` takes those whose name or file has the word, or one of them; `--trust` leaves out the run of the unbroken copy.
import { spawn, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const LIMIT_MS = 90_000
const UNBROKEN_LIMIT_MS = 600_000

const root = join(import.meta.dirname, '..')
/** The tests that are going on. */
let running
const { values: asked } = parseArgs({
  options: {
    list: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    trust: { type: 'boolean', default: false },
  },
})

const all = readMutations()
const words = asked.only.map((word) => word.toLowerCase())
const mutations = all.filter(({ name, file }) => {
  const text = `${name} ${file}`.toLowerCase()
  return words.length === 0 || words.some((word) => text.includes(word))
})
const problems = mutations.flatMap(problemsOf)
for (const problem of problems) console.error(problem)
if (mutations.length === 0) console.error(`There is no mutation with ${words.join(', ')}.`)

if (problems.length > 0 || mutations.length === 0) process.exitCode = 1
else if (asked.list) for (const { name, file } of mutations) console.log(`${name.padEnd(60)} ${file}`)
else process.exitCode = (await judge()) ? 0 : 1

function readMutations() {
  const folder = join(root, 'scripts/mutations')
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .toSorted()
    .flatMap((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')))
}

/** What keeps a mutation from meaning anything; mostly that the code it breaks has changed since. */
function problemsOf({ name, file, find, replace, tests }) {
  if (!existsSync(join(root, file))) return [`stale    ${name}: there is no ${file}`]
  const places = readFileSync(join(root, file), 'utf8').split(find).length - 1
  const missing = tests.filter((test) => !existsSync(join(root, test)))
  return [
    ...(places === 1 ? [] : [`stale    ${name}: its text is ${places} times in ${file}`]),
    ...(find === replace ? [`stale    ${name}: it changes nothing`] : []),
    ...(tests.length === 0 ? [`stale    ${name}: it names no tests`] : []),
    ...(all.filter((other) => other.name === name).length > 1 ? [`stale    ${name}: is there twice`] : []),
    ...missing.map((test) => `stale    ${name}: there is no ${test}`),
  ]
}

/** Tells whether everything was caught. */
async function judge() {
  const copy = mkdtempSync(join(tmpdir(), 'turnpike-mutations-'))
  const startedAt = performance.now()
  const giveUp = () => {
    if (running) endGroup(running)
    rmSync(copy, { recursive: true, force: true })
    process.exit(1)
  }
  process.once('SIGINT', giveUp).once('SIGTERM', giveUp)
  try {
    copySources(copy)
    linkModules(copy)
    if (!asked.trust && !(await isUnbroken(copy))) return false
    const counts = { caught: 0, SURVIVED: 0, broken: 0 }
    for (const mutation of mutations) counts[await verdictOn(copy, mutation)]++
    const { caught, SURVIVED, broken } = counts
    console.log(
      `${caught} of ${mutations.length} caught, ${SURVIVED} survived, ${broken} broken, ${since(startedAt)}`,
    )
    return caught === mutations.length
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** All that is or may be committed: as it is now, not as it was. */
function copySources(copy) {
  const listed = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (listed.status !== 0) throw new Error(`git ls-files failed: ${listed.stderr}`)
  for (const file of new Set(listed.stdout.split('\0'))) {
    if (file === '' || !existsSync(join(root, file))) continue
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    copyFileSync(join(root, file), join(copy, file))
  }
}

/** The dependencies are shared, and our own packages are those of the copy. */
function linkModules(copy) {
  const from = join(root, 'node_modules')
  const to = join(copy, 'node_modules')
  const own = '@turnpike'
  mkdirSync(join(to, own), { recursive: true })
  for (const name of readdirSync(from)) {
    if (name !== own && !name.startsWith('.vite')) link(join(from, name), join(to, name))
  }
  for (const name of readdirSync(join(from, own))) {
    const target = resolve(join(from, own), readlinkSync(join(from, own, name)))
    link(join(copy, relative(root, target)), join(to, own, name))
  }
}

function link(target, path) {
  symlinkSync(target, path, process.platform === 'win32' ? 'junction' : undefined)
}

/** A test that fails anyway would seem to catch everything. */
async function isUnbroken(copy) {
  const startedAt = performance.now()
  const tests = [...new Set(mutations.flatMap((mutation) => mutation.tests))]
  const outcome = await runTests(copy, tests, { limitMs: UNBROKEN_LIMIT_MS })
  if (outcome.passed) {
    console.log(`unbroken  ${tests.length} files of tests pass, ${since(startedAt)}`)
    return true
  }
  console.log(`The tests fail without a mutation, too: ${outcome.why}`)
  return false
}

async function verdictOn(copy, { name, file, find, replace, tests }) {
  const startedAt = performance.now()
  const path = join(copy, file)
  const unbroken = readFileSync(path, 'utf8')
  // By a function: in a text, `$&` and its like would mean something.
  writeFileSync(
    path,
    unbroken.replace(find, () => replace),
  )
  try {
    const { passed, loaded, why } = await runTests(copy, tests, { limitMs: LIMIT_MS })
    const verdict = passed ? 'SURVIVED' : loaded ? 'caught' : 'broken'
    console.log(`${verdict.padEnd(8)}  ${name}  (${since(startedAt)})${why ? `\n          ${why}` : ''}`)
    return verdict
  } finally {
    writeFileSync(path, unbroken)
  }
}

/** `loaded` is false where a file of tests could not even be read: then nothing was tested. */
async function runTests(copy, tests, { limitMs }) {
  const report = join(copy, 'mutations-report.json')
  rmSync(report, { force: true })
  const vitest = join(copy, 'node_modules/vitest/vitest.mjs')
  const options = ['--bail=1', '--reporter=json', `--outputFile=${report}`]
  const child = spawn(process.execPath, [vitest, 'run', ...options, ...tests], {
    cwd: copy,
    stdio: ['ignore', 'ignore', 'pipe'],
    // A group of its own: what tests have started ends with them.
    detached: process.platform !== 'win32',
  })
  running = child
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
  let late = false
  const timer = setTimeout(() => {
    late = true
    endGroup(child)
  }, limitMs)
  const [status] = await new Promise((settle) => child.on('close', (...ended) => settle(ended)))
  clearTimeout(timer)
  running = undefined
  if (late) return { passed: false, loaded: true, why: `no end within ${limitMs / 1_000} s` }
  if (status === 0) return { passed: true, loaded: true, why: '' }
  return { passed: false, ...whyFailed(report, stderr) }
}

function endGroup(child) {
  if (process.platform === 'win32') child.kill('SIGKILL')
  else process.kill(-child.pid, 'SIGKILL')
}

function whyFailed(report, stderr) {
  const said = stderr.trim().split('\n')[0] ?? ''
  if (!existsSync(report)) return { loaded: false, why: said || 'vitest did not run' }
  const files = JSON.parse(readFileSync(report, 'utf8')).testResults
  for (const { name, assertionResults } of files) {
    const failed = assertionResults.find(({ status }) => status === 'failed')
    if (failed) return { loaded: true, why: `${name.split('/').at(-1)}: ${failed.fullName}` }
  }
  const unread = files.find(({ status, assertionResults }) => status === 'failed' && !assertionResults.length)
  if (unread) return { loaded: false, why: unread.message.split('\n')[0] }
  return { loaded: true, why: `an error outside of any test: ${said}` }
}

function since(startedAt) {
  return `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`
}
