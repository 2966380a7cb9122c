import type { Message } from './message.ts'

/** The text of a message: its text parts, joined by line breaks for a user, as they stand for an assistant. */
export function textOf(message: Pick<Message, 'parts' | 'role'>): string {
  const texts = message.parts.filter((part) => part.type === 'text').map((part) => part.text)
  return texts.join(message.role === 'user' ? '\n' : '')
}
