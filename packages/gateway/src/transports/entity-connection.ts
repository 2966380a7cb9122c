import type { Principal } from '@turnpike/agents'
import { GatewayError, LIMITS } from '@turnpike/protocol'
import { type Request, decodeEntityCommand, messageOfToolError } from '@turnpike/protocol/wire'
import type { Commands, Handled } from '../connections/connection.ts'
import type { EntityPeer } from '../entities/entity.ts'
import type { Gateway } from '../gateway.ts'
import { ANONYMOUS } from '../stores/thread-ref.ts'

export interface EntityConnectionOptions {
  readonly gateway: Pick<Gateway, 'entityTools' | 'access'>
  readonly peer: EntityPeer
  /** What it is called where nobody has to authenticate; else it is called by its token's subject. */
  readonly claimed: unknown
  /** What it is called where it claims nothing. */
  readonly connectionId: string
}

/** What the connection of an entity can be asked for: the commands of tool sync, whatever the wire. */
export class EntityConnection {
  readonly #options: EntityConnectionOptions

  constructor(options: EntityConnectionOptions) {
    this.#options = options
  }

  /** Carries out what the entity says. */
  readonly commands: Commands = async (request, session) => this.#execute(request, session.principal)

  /** The connection has ended, or is about to. */
  leave(): void {
    const { gateway, peer } = this.#options
    gateway.entityTools.leave(peer)
  }

  #execute({ command: name, payload }: Request, principal: Principal): Handled {
    const { gateway, peer } = this.#options
    const { entityTools, access } = gateway
    const command = decodeEntityCommand(name, payload)
    switch (command.name) {
      case 'tool.register': {
        access.assertMayBringTools(principal)
        const entity = this.#nameOf(principal)
        const list = command.payload.tools
        const tools =
          principal.id === ANONYMOUS.id
            ? entityTools.registerAnonymous(peer, entity, list)
            : entityTools.register(peer, entity, list)
        return { answer: { ok: true, tools, entity } }
      }
      case 'tool.result':
        entityTools.settle(peer, command.payload.callId, { result: command.payload.result })
        break
      case 'tool.error': {
        const error = new GatewayError('tool-failed', messageOfToolError(command.payload.error))
        entityTools.settle(peer, command.payload.callId, { error })
        break
      }
      case 'heartbeat':
        entityTools.heard(peer)
        break
      default:
        return command satisfies never
    }
    return { answer: { ok: true } }
  }

  #nameOf({ id }: Principal): string {
    const { claimed, connectionId } = this.#options
    if (id !== ANONYMOUS.id) return id
    if (claimed === undefined || claimed === null) return connectionId
    if (typeof claimed === 'string' && claimed !== '' && claimed.length <= LIMITS.idChars) return claimed
    throw new GatewayError('invalid-payload', `An entity is called by 1 to ${LIMITS.idChars} characters.`)
  }
}
