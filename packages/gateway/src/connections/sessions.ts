import type { Principal } from '@turnpike/agents'
import { GatewayError } from '@turnpike/protocol'
import { meets } from '../access/access.ts'

/** Sees and closes the connections of everybody; without it, of oneself. */
const EVERYBODYS = { permissions: ['connections'] }

/** A live connection, as a listing shows it. */
export interface ConnectionInfo {
  readonly id: string
  /** The principal's id. */
  readonly user: string
  /** How it writes: `websocket`, `sse` … */
  readonly wire: string
  /** The threads it follows. */
  readonly threads: readonly string[]
  /** Events that it has not been given yet, over all its threads. */
  readonly lagEvents: number
  /** What it was given and has not taken yet. */
  readonly bufferedBytes: number
  /** When it was admitted, in ms. */
  readonly since: number
}

/** As somebody sees it. */
export interface ListedConnection extends ConnectionInfo {
  /** Whether it is of the user who asks. */
  readonly own: boolean
}

/** One who is connected. */
interface Connected {
  readonly id: string
  readonly principal: Principal
  readonly info: ConnectionInfo
  dismiss(error: GatewayError): void
}

/** Who is connected at the moment. */
export class Sessions {
  readonly #sessions = new Map<string, Connected>()

  add(session: Connected): void {
    this.#sessions.set(session.id, session)
  }

  remove(session: Pick<Connected, 'id'>): void {
    this.#sessions.delete(session.id)
  }

  /** The connections that a principal may see, the oldest first. */
  list(principal: Principal): readonly ListedConnection[] {
    return [...this.#sessions.values()]
      .filter((session) => maySee(principal, session))
      .map((session) => ({ ...session.info, own: session.principal.id === principal.id }))
  }

  /** Closes one; its client may come back. @throws GatewayError `unknown-connection` */
  close(principal: Principal, id: string): void {
    const session = this.#sessions.get(id)
    if (!session || !maySee(principal, session)) {
      throw new GatewayError('unknown-connection', 'There is no connection of that id.')
    }
    session.dismiss(new GatewayError('connection-closed', 'The connection was closed by request.'))
  }
}

function maySee(principal: Principal, session: Connected): boolean {
  return session.principal.id === principal.id || meets(principal, EVERYBODYS)
}
