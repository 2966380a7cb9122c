import type {
  LanguageModelV4Message,
  LanguageModelV4ReasoningPart,
  LanguageModelV4StreamPart,
  LanguageModelV4TextPart,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider'

export type AssistantPart = Extract<LanguageModelV4Message, { role: 'assistant' }>['content'][number]

type Block = LanguageModelV4TextPart | LanguageModelV4ReasoningPart
type DeltaPart = Extract<LanguageModelV4StreamPart, { type: 'text-delta' | 'reasoning-delta' }>
type BlockPart = Pick<DeltaPart, 'id' | 'providerMetadata'>

/** What a step adds to the prompt: the model's own parts in their order, with what its provider attached to them. */
export class StepContent {
  readonly #parts: AssistantPart[] = []
  readonly #blocks = { text: new Map<string, Block>(), reasoning: new Map<string, Block>() }

  /** A delta of a block; what its provider attaches, such as a signature, may come with any of its parts. */
  append(type: Block['type'], part: DeltaPart): void {
    const block = this.#blocks[type].get(part.id) ?? this.#begin(type, part)
    block.text += part.delta
    if (part.providerMetadata) block.providerOptions = part.providerMetadata
  }

  /** Takes the parts that no event tells of; tells whether this was one. */
  take(part: LanguageModelV4StreamPart): boolean {
    if (part.type === 'text-start' || part.type === 'reasoning-start') {
      this.#begin(part.type === 'text-start' ? 'text' : 'reasoning', part)
    } else if (part.type === 'text-end' || part.type === 'reasoning-end') {
      this.#end(part.type === 'text-end' ? 'text' : 'reasoning', part)
    } else if (part.type === 'file' || part.type === 'reasoning-file') {
      const { type, data, mediaType } = part
      this.#parts.push({ type, data, mediaType, ...providerOptions(part) })
    } else if (part.type === 'custom') {
      this.#parts.push({ type: 'custom', kind: part.kind, ...providerOptions(part) })
    } else {
      return false
    }
    return true
  }

  #begin(type: Block['type'], part: BlockPart): Block {
    const block: Block = { type, text: '', ...providerOptions(part) }
    this.#blocks[type].set(part.id, block)
    this.#parts.push(block)
    return block
  }

  #end(type: Block['type'], part: BlockPart): void {
    const block = part.providerMetadata && this.#blocks[type].get(part.id)
    if (block) Object.assign(block, providerOptions(part))
    this.#blocks[type].delete(part.id)
  }

  add(part: AssistantPart): void {
    this.#parts.push(part)
  }

  get text(): string {
    return this.#parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  }

  /** Without blocks that hold nothing, neither text nor what a provider wants back. */
  get parts(): AssistantPart[] {
    return this.#parts.filter(
      (part) =>
        (part.type !== 'text' && part.type !== 'reasoning') || part.text !== '' || part.providerOptions,
    )
  }
}

/** A provider's metadata as it goes back to that provider. */
export function providerOptions(part: { providerMetadata?: SharedV4ProviderMetadata }): {
  providerOptions?: SharedV4ProviderMetadata
} {
  return part.providerMetadata ? { providerOptions: part.providerMetadata } : {}
}
