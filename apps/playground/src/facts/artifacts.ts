import type { EventOf, ThreadEvent } from '@turnpike/protocol'
import { type Operation, applyPatch } from 'rfc6902'

/** The latest version of an artifact that this page has seen. */
export interface SeenArtifact {
  readonly id: string
  readonly version: number
  readonly kind: string
  readonly title: string
  /** Absent where an earlier version was not seen here, and only a patch of it came. */
  readonly content?: unknown
}

export type Artifacts = ReadonlyMap<string, SeenArtifact>

/** Adds what an event tells; gives back the same artifacts where that is nothing. */
export function foldArtifact(artifacts: Artifacts, event: ThreadEvent): Artifacts {
  if (event.type === 'artifact-created') return new Map(artifacts).set(event.artifact.id, event.artifact)
  if (event.type !== 'artifact-updated') return artifacts
  return new Map(artifacts).set(event.artifact.id, updated(artifacts.get(event.artifact.id), event))
}

function updated(before: SeenArtifact | undefined, event: EventOf<'artifact-updated'>): SeenArtifact {
  const { artifact, content, patch } = event
  if (content !== undefined) return { ...artifact, content }
  if (!patch || before?.content === undefined || before.version !== artifact.version - 1) return artifact
  const patched = { content: structuredClone(before.content) }
  const failures = applyPatch(patched, patch.map(belowContent))
  return failures.every((failure) => failure === null) ? { ...artifact, content: patched.content } : artifact
}

/** A patch may replace the whole document, which needs something around it. */
function belowContent(operation: unknown): Operation {
  const { path, from, ...rest } = operation as { path: string; from?: string }
  return {
    ...rest,
    path: `/content${path}`,
    ...(from !== undefined && { from: `/content${from}` }),
  } as Operation
}
