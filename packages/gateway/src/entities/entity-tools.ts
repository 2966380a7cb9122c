import { type RemoteTool, type RemoteTools, JsonSchema, matchesTool } from '@turnpike/agents/host'
import { type Limits, GatewayError } from '@turnpike/protocol'
import type { EntityToolInfo } from '@turnpike/protocol/wire'
import { type EntityPeer, type EntityTool, Entity } from './entity.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import { TokenBucket } from '../timing/token-bucket.ts'

const MINUTE_SECONDS = 60
/** Lists that may come at once. */
const BURST = 10
const ANONYMOUS_BURST = 100

export interface EntityToolsOptions {
  readonly limits: Limits
  readonly wheel: Pick<TimerWheel, 'schedule'>
}

/**
 * The tools that entities have brought: they can be called while the entity is connected.
 *
 * An entity has one connection: the one that registered last. Nothing that another connection says reaches its calls.
 */
export class EntityTools implements RemoteTools {
  readonly #options: EntityToolsOptions
  readonly #entities = new Map<string, Entity>()
  readonly #byPeer = new Map<EntityPeer, Entity>()
  /** Kept beyond a connection, since a storm is made of connections; the oldest are let go of. */
  readonly #buckets = new Map<string, TokenBucket>()
  /** For all that nobody has authenticated: each may come under a new name every time. */
  readonly #anonymousBucket: TokenBucket

  constructor(options: EntityToolsOptions) {
    this.#options = options
    this.#anonymousBucket = bucketOf(options.limits.anonymousRegistrationsPerMinute, ANONYMOUS_BURST)
  }

  /** How many entities are there. */
  get size(): number {
    return this.#entities.size
  }

  /**
   * Takes the list of tools of an entity in place of the one before. An older connection of the same entity is closed.
   *
   * @throws GatewayError `invalid-payload` | `rate-limited` | `too-many-connections`
   */
  register(peer: EntityPeer, id: string, tools: readonly EntityToolInfo[]): number {
    this.#admit(peer, id)
    return this.#take(peer, id, tools)
  }

  /** The same for one that is called what it says of itself. @throws GatewayError as `register` does */
  registerAnonymous(peer: EntityPeer, id: string, tools: readonly EntityToolInfo[]): number {
    this.#admit(peer, id)
    assertTaken(this.#anonymousBucket, this.#options.limits.anonymousRegistrationsPerMinute)
    return this.#take(peer, id, tools)
  }

  /** Takes what an entity says of a call. @throws GatewayError `unknown-call` where it is none of its calls */
  settle(
    peer: EntityPeer,
    callId: string,
    outcome: { readonly result: unknown } | { readonly error: GatewayError },
  ): void {
    this.heard(peer)
    if (this.#byPeer.get(peer)?.settle(callId, outcome)) return
    throw new GatewayError('unknown-call', 'Nobody waits for a call of that id on this connection.')
  }

  /** A connection gave a sign of life. */
  heard(peer: EntityPeer): void {
    this.#byPeer.get(peer)?.heard()
  }

  /** A connection has ended, or is about to. */
  leave(peer: EntityPeer): void {
    const entity = this.#byPeer.get(peer)
    if (!entity) return
    this.#byPeer.delete(peer)
    if (this.#entities.get(entity.id) === entity) this.#entities.delete(entity.id)
    entity.leave()
  }

  list(patterns: readonly string[]): readonly RemoteTool[] {
    const found = [...this.#entities.values()].flatMap((entity) =>
      [...entity.tools.values()]
        .filter(({ name }) => patterns.some((pattern) => matchesTool(pattern, { entity: entity.id, name })))
        .map((tool) => this.#remote(entity.id, tool)),
    )
    return found.toSorted((a, b) => compare(a.entity, b.entity) || compare(a.name, b.name))
  }

  /** A call finds the entity where it is then, which may be on another connection than when the tool was listed. */
  #remote(id: string, { name, description, parameters, needsApproval }: EntityTool): RemoteTool {
    return {
      entity: id,
      name,
      description,
      parameters,
      needsApproval,
      call: async (args, caller) => {
        const entity = this.#entities.get(id)
        if (entity?.tools.has(name)) return entity.call(name, args, caller)
        const what = JSON.stringify(entity ? `${id}.${name}` : id)
        throw new GatewayError('entity-gone', `${what} is not there any more.`)
      },
    }
  }

  /** @throws GatewayError `rate-limited` */
  #admit(peer: EntityPeer, id: string): void {
    this.heard(peer)
    this.#throttle(id)
  }

  #take(peer: EntityPeer, id: string, tools: readonly EntityToolInfo[]): number {
    const checked = this.#checked(tools)
    const entity = this.#byPeer.get(peer) ?? this.#enter(peer, id)
    entity.tools = checked
    return checked.size
  }

  #enter(peer: EntityPeer, id: string): Entity {
    const older = this.#entities.get(id)
    if (!older && this.#entities.size >= this.#options.limits.entities) {
      throw new GatewayError('too-many-connections', 'There are all the entities that the server takes.', {
        retryAfterMs: 1_000,
      })
    }
    const entity = new Entity({
      ...this.#options,
      id,
      peer,
      onSilent: () => this.#dismiss(peer, 'connection-closed', 'The entity was silent for too long.'),
    })
    this.#entities.set(id, entity)
    this.#byPeer.set(peer, entity)
    if (older) this.#dismiss(older.peer, 'entity-replaced', 'Another connection of this entity took over.')
    return entity
  }

  #dismiss(peer: EntityPeer, code: 'connection-closed' | 'entity-replaced', message: string): void {
    this.leave(peer)
    peer.close(new GatewayError(code, message))
  }

  /** @throws GatewayError `rate-limited` */
  #throttle(id: string): void {
    const { registrationsPerMinute, entities } = this.#options.limits
    const bucket = this.#buckets.get(id) ?? bucketOf(registrationsPerMinute, BURST)
    this.#buckets.delete(id)
    this.#buckets.set(id, bucket)
    const [oldest] = this.#buckets.keys()
    if (oldest !== undefined && this.#buckets.size > 2 * entities) this.#buckets.delete(oldest)
    assertTaken(bucket, registrationsPerMinute)
  }

  /** @throws GatewayError `invalid-payload`, naming the tool */
  #checked(tools: readonly EntityToolInfo[]): ReadonlyMap<string, EntityTool> {
    const { entityTools, entityToolChars, entitySubschemas } = this.#options.limits
    if (tools.length > entityTools) throw invalid(`an entity may have ${entityTools} tools`)
    if (JSON.stringify(tools).length > entityToolChars) {
      throw invalid(`the tools of an entity may take ${entityToolChars} characters of JSON`)
    }
    const checked = new Map<string, EntityTool>()
    let subschemas = 0
    for (const tool of tools) {
      if (checked.has(tool.name)) throw invalid(`there are two tools "${tool.name}"`)
      const parameters = schemaOf(tool)
      subschemas += parameters.subschemas
      // Before the next one is looked at.
      if (subschemas > entitySubschemas) {
        throw invalid(`the tools of an entity may have ${entitySubschemas} subschemas`)
      }
      checked.set(tool.name, { ...tool, parameters })
    }
    return checked
  }
}

function bucketOf(perMinute: number, burst: number): TokenBucket {
  return new TokenBucket(perMinute / MINUTE_SECONDS, Math.min(burst, perMinute))
}

/** @throws GatewayError `rate-limited` */
function assertTaken(bucket: TokenBucket, perMinute: number): void {
  if (bucket.take()) return
  const retryAfterMs = Math.ceil((1_000 * MINUTE_SECONDS) / perMinute)
  const message = `Lists of tools may come ${perMinute} times a minute.`
  throw new GatewayError('rate-limited', message, { retryAfterMs })
}

function schemaOf({ name, parameters }: EntityToolInfo): JsonSchema {
  try {
    return new JsonSchema(parameters)
  } catch (error) {
    throw error instanceof GatewayError ? invalid(`"${name}": ${error.message}`) : error
  }
}

function invalid(why: string): GatewayError {
  return new GatewayError('invalid-payload', `tool.register: ${why}`)
}

/** By the characters, and not as some language sorts. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
