/** Controls of a terminal but for line breaks and tabs, and what makes text run backwards. */
const CONTROLS = /[^\P{Cc}\n\t]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** Text that cannot command a terminal, nor pretend to read otherwise than it does. */
export function plainText(text: string): string {
  return text.replace(CONTROLS, '')
}

/** The same in one line. */
export function plainLine(text: string): string {
  return plainText(text).replaceAll(/\s+/g, ' ').trim()
}

/** JSON in one line that says the same, with what could command a terminal written as escapes. */
export function plainJson(value: unknown): string {
  const json = JSON.stringify(value) ?? 'null'
  return json.replaceAll(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
