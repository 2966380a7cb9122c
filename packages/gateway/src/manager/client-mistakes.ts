import { type GatewayError, ERRORS } from '@turnpike/protocol'
import { type WebSocketError, CallError } from './websocket-error.ts'

const SERVER_ERROR = 500
const mistakes = new WeakSet<Error>()

/** Notes an error that is a client's mistake, of which it was told: no failure of a handler. */
export function noteMistake(error: Error): void {
  mistakes.add(error)
}

export function isMistake(error: Error): boolean {
  return mistakes.has(error)
}

/** Whether somebody who throws this refuses something to a client. A call of the manager that fails does not. */
export function isRefusal(error: GatewayError | WebSocketError): boolean {
  return !(error instanceof CallError) && ERRORS[error.code].http < SERVER_ERROR
}
