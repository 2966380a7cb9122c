import type { Instrument, Labels } from './instruments.ts'

/** The media type of {@link expositionOf}. */
export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Numbers in the text format of Prometheus, version 0.0.4. */
export function expositionOf(instruments: Iterable<Instrument>): string {
  let text = ''
  for (const instrument of instruments) {
    const { name, help, type } = instrument
    text += `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n`
    for (const { suffix = '', labels = {}, value } of instrument.samples()) {
      text += `${name}${suffix}${labelsOf(labels)} ${numberOf(value)}\n`
    }
  }
  return text
}

function labelsOf(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function numberOf(value: number): string {
  if (Number.isFinite(value)) return String(value)
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? '+Inf' : '-Inf'
}
