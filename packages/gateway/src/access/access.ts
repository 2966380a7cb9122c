import { randomUUID } from 'node:crypto'
import type { Principal } from '@turnpike/agents'
import { GatewayError } from '@turnpike/protocol'
import type { Store } from '../stores/store.ts'
import { type ThreadRef, threadRef } from '../stores/thread-ref.ts'

/** What somebody may be allowed to do. `thread.read` is following a thread and reading its history. */
export type Action = 'thread.read' | 'thread.send' | 'run.cancel' | 'approval.resolve'

/** What it is done to, and whose that is. Runs and approvals belong to the owner of their thread. */
export interface Resource {
  readonly kind: 'thread' | 'run' | 'approval'
  readonly id: string
  readonly owner: string
  /** Whom a message is for, where the client named one. */
  readonly agent?: string
}

/**
 * Decides whether a principal may do something, with its own as with what is somebody else's. Of somebody else's of one
 * id, the oldest 100 are asked about: give what is shared ids of its own.
 *
 * @example
 * (principal, action, { owner }) => owner === principal.id || teamOf(owner) === teamOf(principal.id)
 */
export type Authorize = (
  principal: Principal,
  action: Action,
  resource: Resource,
) => boolean | Promise<boolean>

/** What an action takes: any of the roles, and all of the permissions. */
export interface Requirement {
  readonly roles?: readonly string[]
  readonly permissions?: readonly string[]
}

export interface AccessOptions {
  /** Without it, everything belongs to its owner and to nobody else. */
  readonly authorize?: Authorize | undefined
  /** What each action takes beside that, `tool.register` being to bring tools. @default nothing */
  readonly requires?: Readonly<Partial<Record<Action | 'tool.register', Requirement>>> | undefined
}

/** Tells whether a principal has what is required. */
export function meets(principal: Principal, { roles, permissions = [] }: Requirement): boolean {
  const hasRole = !roles || roles.some((role) => principal.roles?.includes(role))
  return hasRole && permissions.every((permission) => principal.permissions?.includes(permission))
}

/**
 * Who may touch which thread, run and approval. Every command and subscription passes here, at resume too.
 *
 * An id means what is the principal's own, if there is one. Else it may be somebody else's that was opened to them:
 * the oldest of that id for which {@link Authorize} says yes. What is not opened is answered as what is not there.
 */
export class Access {
  readonly #store: Store
  readonly #options: AccessOptions

  constructor(store: Store, options: AccessOptions) {
    this.#store = store
    this.#options = options
  }

  /** A thread to be read. @throws GatewayError `unknown-thread` | `forbidden` */
  async threadToRead(principal: Principal, id: string): Promise<ThreadRef> {
    const owner = await this.#ownerOf(principal, 'thread.read', { kind: 'thread', id })
    if (owner === undefined) throw new GatewayError('unknown-thread', 'There is no thread of that id.')
    return threadRef({ id: owner }, id)
  }

  /**
   * A thread to be written to: the one of that id, or, where there is none, a new one of the principal's own.
   *
   * @throws GatewayError `forbidden`
   */
  async threadToWrite(principal: Principal, id: string = randomUUID(), agent?: string): Promise<ThreadRef> {
    // Nothing to be looked up where nothing is shared.
    const shared = this.#options.authorize && (await this.#sharedThread(principal, id))
    const thread = shared ?? threadRef(principal, id)
    const resource: Resource = {
      kind: 'thread',
      id,
      owner: thread.owner,
      ...(agent !== undefined && { agent }),
    }
    if (!(await this.#may(principal, 'thread.send', resource))) throw forbidden()
    return thread
  }

  /** Whose run it is. @throws GatewayError `unknown-run` | `forbidden` */
  async ownerOfRun(principal: Principal, id: string): Promise<string> {
    const owner = await this.#ownerOf(principal, 'run.cancel', { kind: 'run', id })
    if (owner === undefined) throw new GatewayError('unknown-run', 'There is no run of that id.')
    return owner
  }

  /** Whose approval it is. @throws GatewayError `unknown-approval` | `forbidden` */
  async ownerOfApproval(principal: Principal, id: string): Promise<string> {
    const owner = await this.#ownerOf(principal, 'approval.resolve', { kind: 'approval', id })
    if (owner === undefined) throw new GatewayError('unknown-approval', 'There is no approval of that id.')
    return owner
  }

  /** @throws GatewayError `forbidden` where somebody may not bring tools */
  assertMayBringTools(principal: Principal): void {
    if (!meets(principal, this.#options.requires?.['tool.register'] ?? {})) throw forbidden()
  }

  async #sharedThread(principal: Principal, id: string): Promise<ThreadRef | undefined> {
    const owner = await this.#ownerOf(principal, 'thread.read', { kind: 'thread', id })
    return owner === undefined ? undefined : threadRef({ id: owner }, id)
  }

  async #ownerOf(
    principal: Principal,
    action: Action,
    { kind, id }: Pick<Resource, 'kind' | 'id'>,
  ): Promise<string | undefined> {
    if (await this.#exists(kind, principal.id, id)) {
      if (await this.#may(principal, action, { kind, id, owner: principal.id })) return principal.id
      throw forbidden()
    }
    if (!this.#options.authorize) return undefined
    for (const owner of await this.#ownersOf(kind, id)) {
      if (owner !== principal.id && (await this.#may(principal, action, { kind, id, owner }))) return owner
    }
    return undefined
  }

  async #may(principal: Principal, action: Action, resource: Resource): Promise<boolean> {
    const { authorize, requires } = this.#options
    if (!meets(principal, requires?.[action] ?? {})) return false
    if (!authorize) return resource.owner === principal.id
    // Exactly true: what is no answer opens nothing.
    return (await authorize(principal, action, resource)) === true
  }

  async #exists(kind: Resource['kind'], owner: string, id: string): Promise<boolean> {
    const { threads, runs, approvals } = this.#store
    if (kind === 'thread') return threads.has(threadRef({ id: owner }, id))
    return (await (kind === 'run' ? runs : approvals).find(owner, id)) !== undefined
  }

  #ownersOf(kind: Resource['kind'], id: string): Promise<readonly string[]> {
    const { threads, runs, approvals } = this.#store
    return { thread: threads, run: runs, approval: approvals }[kind].owners(id)
  }
}

function forbidden(): GatewayError {
  return new GatewayError('forbidden', 'You may not do this.')
}
