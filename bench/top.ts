/** `node bench/top.ts <folder or file.cpuprofile> [count]`: where a profile's time went, by function. */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const [, , path = '.', count = '25'] = process.argv
const files = statSync(path).isDirectory()
  ? readdirSync(path)
      .filter((name) => name.endsWith('.cpuprofile'))
      .map((name) => join(path, name))
  : [path]
const self = new Map<string, number>()
let total = 0
for (const file of files) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as Profile
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  samples.forEach((id, index) => {
    const name = names.get(id) ?? ''
    const us = timeDeltas[index] ?? 0
    if (name.startsWith('(idle)')) return
    self.set(name, (self.get(name) ?? 0) + us)
    total += us
  })
}
for (const [name, us] of [...self].sort(([, a], [, b]) => b - a).slice(0, Number(count))) {
  console.log(`${((us / total) * 100).toFixed(1).padStart(5)} %  ${name}`)
}

function nameOf({ functionName, url, lineNumber }: Profile['nodes'][number]['callFrame']): string {
  const file = url.split('/').slice(-3).join('/')
  return `${functionName || '(anonymous)'}  ${url === '' ? '' : `${file}:${lineNumber + 1}`}`
}
