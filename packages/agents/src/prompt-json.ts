import type { LanguageModelV4Prompt } from '@ai-sdk/provider'
import { isJsonObject } from './tool-result.ts'

/** A prompt as JSON: bytes become base64 and URLs text. */
export function promptToJson(prompt: LanguageModelV4Prompt): unknown {
  return JSON.parse(
    JSON.stringify(prompt.map(({ content, ...message }) => ({ ...message, content: encode(content) }))),
  )
}

function encode(content: LanguageModelV4Prompt[number]['content']): unknown {
  if (typeof content === 'string') return content
  return content.map((part) => {
    if (part.type !== 'file' && part.type !== 'reasoning-file') return part
    const { data } = part
    if (data.type !== 'data' || typeof data.data === 'string') return part
    return { ...part, data: { type: 'data', data: Buffer.from(data.data).toString('base64') } }
  })
}

/** The prompt that {@link promptToJson} made JSON of. */
export function promptFromJson(json: readonly unknown[]): LanguageModelV4Prompt {
  // Ours, from our own store: what matters is checked where it is read.
  return json.map(decode) as LanguageModelV4Prompt
}

function decode(message: unknown): unknown {
  if (!isJsonObject(message) || !Array.isArray(message['content'])) return message
  return { ...message, content: message['content'].map(decodePart) }
}

function decodePart(part: unknown): unknown {
  if (!isJsonObject(part) || (part['type'] !== 'file' && part['type'] !== 'reasoning-file')) return part
  const { data } = part
  if (!isJsonObject(data) || data['type'] !== 'url' || typeof data['url'] !== 'string') return part
  return { ...part, data: { ...data, url: new URL(data['url']) } }
}
