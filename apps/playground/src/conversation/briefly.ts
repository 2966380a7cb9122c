const MOST_CHARS = 120

/** A value in one line, for a head that has room for little more. */
export function briefly(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value !== 'object') return shortened(fieldText(value))
  const fields = Object.entries(value).map(([name, field]) => `${name}: ${fieldText(field)}`)
  return shortened(fields.join(', '))
}

function fieldText(field: unknown): string {
  if (typeof field === 'string') return field
  return Array.isArray(field) ? `[${field.length}]` : (JSON.stringify(field) ?? '')
}

function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > MOST_CHARS ? `${line.slice(0, MOST_CHARS)} …` : line
}
