import { styleText } from 'node:util'

export type Style = 'dim' | 'bold' | 'red' | 'green' | 'yellow'

/** Gives text a style, where there are styles. */
export type Paint = (style: Style, text: string) => string

/** Styles for a terminal that has them: not for a pipe, nor with `NO_COLOR`. */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  const isPlain = !stream.isTTY || Boolean(process.env['NO_COLOR'])
  return (style, text) => (isPlain ? text : styleText(style, text, { validateStream: false }))
}
