import type { EventOf, MessagePart, ThreadEvent } from '@turnpike/client'
import { briefJson } from './brief-json.ts'
import type { Style } from './paint.ts'
import { plainLine } from './plain-text.ts'

/** A line about something that happened. */
export interface Note {
  readonly style: Style
  readonly text: string
}

/** What an event says, in a line. Empty where its type says it all. */
export function eventNote(event: ThreadEvent): Note {
  switch (event.type) {
    case 'start':
      return note('bold', `› ${plainLine(inputText(event))}`)
    case 'text-delta':
      return note('dim', briefJson(event.delta))
    case 'tool-call-start':
      return note('dim', plainLine(event.tool))
    case 'tool-call-args':
      if (event.args === undefined) return note('dim', `${plainLine(event.tool)} ${briefJson(event.delta)}`)
      return note('dim', `→ ${plainLine(event.tool)}(${briefJson(event.args)})`)
    case 'tool-call-result':
      return note('dim', `✓ ${plainLine(event.tool)} ${briefJson(event.result)}`)
    case 'tool-call-error':
      return note('red', `✗ ${plainLine(event.tool)} ${failure(event.error)}`)
    case 'artifact-created':
    case 'artifact-updated':
      return note('dim', artifact(event.artifact))
    case 'step-start':
      return note('dim', `step ${event.step}`)
    case 'step-finish':
      return note('dim', `step ${event.step}: ${event.finishReason}`)
    case 'memory-write':
      return note('dim', `remembered: ${plainLine(event.memory.text)}`)
    case 'memory-recall-result':
      return note('dim', `recalled ${event.memories.length} for "${plainLine(event.query)}"`)
    case 'run-update':
      return note('dim', background(event))
    case 'approval-pending':
      return note('yellow', `${plainLine(event.tool)}(${briefJson(event.args)}) needs approval`)
    case 'approval-resolved':
      return resolution(event)
    case 'error':
      return note('red', `✗ ${failure(event.error)}`)
    case 'finish':
      return note('dim', `(${event.finishReason})`)
    default:
      return event satisfies never
  }
}

/** What a part of a message in a history says, in lines; texts are not for lines. */
export function partNotes(part: MessagePart): readonly Note[] {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return []
    case 'file':
      return [note('dim', `[${plainLine(part.mediaType)}]`)]
    case 'artifact':
      return [note('dim', artifact(part))]
    case 'tool': {
      const tool = plainLine(part.tool)
      const call = note('dim', `→ ${tool}(${briefJson(part.args)})`)
      if (part.error) return [call, note('red', `✗ ${tool} ${failure(part.error)}`)]
      if (part.state === 'done') return [call, note('dim', `✓ ${tool} ${briefJson(part.result)}`)]
      return [call]
    }
    default:
      return part satisfies never
  }
}

function note(style: Style, text: string): Note {
  return { style, text }
}

function inputText({ input }: EventOf<'start'>): string {
  return input.parts.map((part) => (part.type === 'text' ? part.text : `[${part.type}]`)).join(' ')
}

function failure({ code, message }: { code: string; message: string }): string {
  return plainLine(`${code}: ${message}`)
}

function artifact(of: { kind: string; title: string; version: number }): string {
  return plainLine(`■ ${of.kind} "${of.title}", version ${of.version}`)
}

function background({ background: { name, status, progress, message } }: EventOf<'run-update'>): string {
  const stand = status === 'running' ? `${Math.round(progress * 100)} %` : status
  return plainLine(`… ${name}: ${stand}${message === undefined ? '' : `, ${message}`}`)
}

function resolution({ approved, by, reason }: EventOf<'approval-resolved'>): Note {
  const who = by === undefined ? '' : ` by ${by}`
  const why = reason === undefined ? '' : `: ${reason}`
  return note(approved ? 'green' : 'yellow', plainLine(`${approved ? 'approved' : 'denied'}${who}${why}`))
}
