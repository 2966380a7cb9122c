import type { Message, MessagePart } from './message.ts'

/** Reasoning is for those who ask for it, in a history as in events: text around it is one text to all others. */
export function withoutReasoning(message: Message): Message {
  if (!message.parts.some((part) => part.type === 'reasoning')) return message
  const parts: MessagePart[] = []
  for (const part of message.parts) {
    const last = parts.at(-1)
    if (part.type === 'reasoning') continue
    if (part.type === 'text' && last?.type === 'text') {
      parts[parts.length - 1] = { type: 'text', text: last.text + part.text }
    } else parts.push(part)
  }
  return { ...message, parts }
}
