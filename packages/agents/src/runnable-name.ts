import { GatewayError } from '@turnpike/protocol'
import type { RunnableKind } from './runnable.ts'

/** @throws GatewayError `invalid-payload` where it is no name */
export function checkRunnableName(name: unknown, kind: RunnableKind): string {
  if (typeof name === 'string' && name !== '' && name.length <= 256 && !/\p{Cc}/u.test(name)) return name
  const which = kind === 'agent' ? 'An agent' : `A ${kind}`
  throw new GatewayError('invalid-payload', `${which} needs a name of 1 to 256 characters.`)
}
