import { type MessagePart, type ToolPart } from '@turnpike/protocol'
import { element, setText } from './element.ts'
import { GrowingText } from './growing-text.ts'
import type { View } from './keyed-list.ts'
import { toolCard } from './tool-card.ts'

/** A part of a message; `isWriting` where more of it is to come. */
export interface PartItem {
  readonly part: MessagePart
  readonly isWriting: boolean
}

/** What tells a part from the others of its message. */
export function keyOfPart({ part }: PartItem, index: number): string {
  return part.type === 'tool' ? `tool ${part.toolCallId}` : `${part.type} ${index}`
}

/** The view of a part; its type never changes. */
export function partView({ part }: PartItem): View<PartItem> {
  switch (part.type) {
    case 'text':
      return textView()
    case 'reasoning':
      return reasoningView()
    case 'tool':
      return toolView()
    case 'file':
      return chipView((file) => (file.type === 'file' ? ['File', file.mediaType] : undefined))
    case 'artifact':
      return chipView((artifact) =>
        artifact.type === 'artifact'
          ? [artifact.title, `${artifact.kind}, version ${artifact.version}`]
          : undefined,
      )
    default:
      return part satisfies never
  }
}

function textView(): View<PartItem> {
  const text = new GrowingText('text')
  return {
    node: text.node,
    update({ part, isWriting }) {
      // Blank lines at the borders set a part off from what is set off anyway.
      if (part.type === 'text') text.update(part.text.trim())
      text.node.classList.toggle('writing', isWriting)
    },
  }
}

function reasoningView(): View<PartItem> {
  const summary = element('summary')
  const text = new GrowingText('text')
  return {
    node: element('details', 'reasoning', summary, text.node),
    update({ part, isWriting }) {
      if (part.type === 'reasoning') text.update(part.text.trim())
      setText(summary, isWriting ? 'Thinking…' : 'Reasoning')
    },
  }
}

function toolView(): View<PartItem> {
  const card = toolCard()
  let shown: ToolPart | undefined
  return {
    node: card.node,
    update({ part }) {
      if (part.type !== 'tool' || part === shown) return
      shown = part
      card.update(part)
    },
  }
}

function chipView(labelsOf: (part: MessagePart) => readonly [string, string] | undefined): View<PartItem> {
  const title = element('strong')
  const kind = element('span')
  return {
    node: element('div', 'chip', title, kind),
    update({ part }) {
      const labels = labelsOf(part)
      if (!labels) return
      setText(title, labels[0])
      setText(kind, labels[1])
    },
  }
}
