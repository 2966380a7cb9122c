import { randomUUID } from 'node:crypto'
import { type AgentEvent, GatewayError, LIMITS } from '@turnpike/protocol'
import { type Operation, applyPatch } from 'rfc6902'
import { copyJson } from './json-copy.ts'

/** Something a run made and may change: each change is a version. */
export interface Artifact {
  readonly id: string
  /** 1, 2, 3 … */
  readonly version: number
  /** What it is, for who shows it: `markdown`, `code`, `table` … */
  readonly kind: string
  readonly title: string
  /** JSON. */
  readonly content: unknown
}

/** The artifacts of a run's thread. Each change is told as an event. */
export interface Artifacts {
  create(artifact: { kind: string; title: string; content: unknown; id?: string }): Promise<Artifact>
  /**
   * Makes the next version: of new content, or of a JSON Patch (RFC 6902) of the old.
   *
   * @throws Error where there is no such artifact in this thread, or the patch does not apply
   */
  update(
    id: string,
    change: { title?: string } & ({ content: unknown } | { patch: readonly unknown[] }),
  ): Promise<Artifact>
  /** The latest version, or the one asked for. */
  get(id: string, version?: number): Promise<Artifact | undefined>
}

/** Where artifacts are kept; by thread. */
export interface ArtifactStore {
  save(artifact: Artifact): Promise<void>
  load(id: string, version?: number): Promise<Artifact | undefined>
}

export interface ArtifactsOptions {
  /** Of one thread. Changes are put in line by store, so all runs of a thread in this process share one. */
  readonly store: ArtifactStore
  readonly emit: (event: AgentEvent) => void
}

type Change = Parameters<Artifacts['update']>[1]

/** Makes the artifacts of a run: each change is stored first, and then told. */
export function createArtifacts({ store, emit }: ArtifactsOptions): Artifacts {
  /** An event that is too large is refused here, before its version is stored. */
  async function keep(artifact: Artifact, event: AgentEvent): Promise<Artifact> {
    const chars = Math.max(JSON.stringify(artifact).length, JSON.stringify(event).length)
    if (chars > LIMITS.eventChars) {
      throw new GatewayError('event-too-large', `An artifact exceeds ${LIMITS.eventChars} characters.`)
    }
    await store.save(artifact)
    emit(event)
    return artifact
  }

  return {
    create({ id = randomUUID(), kind, title, content }) {
      return inLine(store, id, async () => {
        if (await store.load(id)) throw new Error(`There is an artifact "${id}" already: update it.`)
        const artifact = { id, version: 1 as const, kind, title, content: copyJson(content) }
        return keep(artifact, { type: 'artifact-created', artifact })
      })
    },
    update(id, change) {
      return inLine(store, id, async () => {
        const before = await store.load(id)
        if (!before) throw new Error(`There is no artifact "${id}" in this thread.`)
        const { kind } = before
        const title = change.title ?? before.title
        const artifact = { id, version: before.version + 1, kind, title }
        const { content, told } = changed(before, change)
        return keep({ ...artifact, content }, { type: 'artifact-updated', artifact, ...told })
      })
    },
    get: (id, version) => store.load(id, version),
  }
}

/** The new content, and the change as its event tells it. */
function changed(
  before: Artifact,
  change: Change,
): { content: unknown; told: { content: unknown } | { patch: unknown[] } } {
  if (!('patch' in change)) {
    const content = copyJson(change.content)
    return { content, told: { content } }
  }
  if ('content' in change) throw new TypeError('An artifact is updated by "content" or by "patch", not both.')
  const patch = copyJson(change.patch)
  if (!Array.isArray(patch)) throw new TypeError('A JSON Patch is a list of operations.')
  return { content: patched(before, patch), told: { patch } }
}

function patched({ id, version, content }: Artifact, patch: readonly unknown[]): unknown {
  // A level above the content, since the library cannot replace the whole of what it is given.
  const document = { content: structuredClone(content) }
  try {
    const results = applyPatch(document, patch.map(belowContent))
    const problem = results.find((result) => result !== null)
    if (problem) throw problem
    return copyJson(document.content)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`The patch does not apply to version ${version} of artifact "${id}": ${why}`, { cause })
  }
}

function belowContent(operation: unknown): Operation {
  if (typeof operation !== 'object' || operation === null) throw new TypeError('An operation is an object.')
  const moved: Record<string, unknown> = { ...operation }
  for (const key of ['path', 'from']) {
    const pointer = moved[key]
    if (pointer === undefined) continue
    if (typeof pointer !== 'string' || !/^(\/|$)/.test(pointer)) {
      throw new TypeError(`"${key}" must be empty or begin with "/", got ${JSON.stringify(pointer)}.`)
    }
    if (pointer.split('/').includes('__proto__')) throw new TypeError(`"${key}" must not name __proto__.`)
    moved[key] = `/content${pointer}`
  }
  // The library answers what is no operation with an error.
  return moved as unknown as Operation
}

const lines = new WeakMap<ArtifactStore, Map<string, Promise<unknown>>>()

/** Does one thing after another for each artifact, so that no two changes make the same version. */
function inLine<Result>(store: ArtifactStore, id: string, work: () => Promise<Result>): Promise<Result> {
  const line = lines.get(store) ?? new Map<string, Promise<unknown>>()
  lines.set(store, line)
  const result = (line.get(id) ?? Promise.resolve()).then(work)
  const settled = result.then(
    () => {},
    () => {},
  )
  line.set(id, settled)
  void settled.then(() => {
    if (line.get(id) === settled) line.delete(id)
  })
  return result
}

/** Keeps the artifacts of one thread in memory, every version. */
export class MemoryArtifactStore implements ArtifactStore {
  readonly #versions = new Map<string, Map<number, Artifact>>()

  save(artifact: Artifact): Promise<void> {
    const versions = this.#versions.get(artifact.id) ?? new Map<number, Artifact>()
    this.#versions.set(artifact.id, versions.set(artifact.version, structuredClone(artifact)))
    return Promise.resolve()
  }

  load(id: string, version?: number): Promise<Artifact | undefined> {
    const versions = this.#versions.get(id)
    const found = versions?.get(version ?? Math.max(...versions.keys()))
    return Promise.resolve(found && structuredClone(found))
  }
}
