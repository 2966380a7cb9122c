import { GatewayError } from '@turnpike/protocol'
import type { Command } from '@turnpike/protocol/wire'
import type { SendSettings } from '../runs/run-requests.ts'
import type { Outcome, Session } from '../connections/session.ts'

/**
 * A client that has a session for each question does not say when it is through with one: an idle one makes room.
 *
 * @param onLeft - Told which one is followed no more.
 */
export async function executeMakingRoom(
  session: Session,
  command: Exclude<Command, { name: 'auth' }>,
  { settings, onLeft }: { readonly settings: SendSettings; readonly onLeft?: (threadId: string) => void },
): Promise<Outcome> {
  try {
    return await session.execute(command, settings)
  } catch (error) {
    const isFull = error instanceof GatewayError && error.code === 'too-many-subscriptions'
    const left = isFull ? session.leaveIdle() : undefined
    if (left === undefined) throw error
    onLeft?.(left)
    return session.execute(command, settings)
  }
}
