const SAFE = new Set(['http:', 'https:', 'mailto:'])

/**
 * The address, if it leads to somewhere else on the web; empty otherwise. Relative ones count as unsafe: a model does
 * not know this page, and what it wrote must not send its reader around here.
 */
export function safeUrl(url: string): string {
  return URL.canParse(url) && SAFE.has(new URL(url).protocol) ? url : ''
}
