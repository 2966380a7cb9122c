import type { Logger } from '../telemetry/logger.ts'
import { isMistake } from './client-mistakes.ts'
import { isPromise } from './is-promise.ts'
import type { Peer } from './peer.ts'
import { asError } from './websocket-error.ts'
import type { WebSocketHandler, WebSocketMessage } from './websocket-handler.ts'

/** Calls handlers, whatever they throw: it reaches their `onError`, and nobody else. */
export class HandlerCalls {
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  call(peer: Peer, work: (handler: WebSocketHandler) => unknown): void {
    this.#guarded(peer, work, (error) => this.failed(peer, error))
  }

  /** Hands over a message. A promise that the handler gives is work for the peer until it has settled. */
  message(peer: Peer, message: WebSocketMessage): void {
    try {
      const done = peer.path.handler?.onMessage?.(peer.connection, message)
      if (!isPromise(done)) return
      const workload = peer.path.workloadOf(peer)
      workload.promiseBegan()
      // What only looks like a promise may settle at once, or throw.
      Promise.resolve(done).then(workload.promiseSettled, (error: unknown) => {
        this.failed(peer, error)
        workload.promiseSettled()
      })
    } catch (error) {
      this.failed(peer, error)
    }
  }

  /** Tells the handler of an error; one that nobody listens to is logged, where it is no mistake of a client. */
  failed(peer: Peer, thrown: unknown): void {
    const error = asError(thrown)
    const log = (failure: unknown): void =>
      this.#logger.error({ error: failure, path: peer.connection.metadata['path'] }, 'a handler failed')
    if (!peer.path.handler?.onError) return isMistake(error) ? undefined : log(error)
    this.#guarded(peer, (handler) => handler.onError?.(peer.connection, error), log)
  }

  #guarded(
    peer: Peer,
    work: (handler: WebSocketHandler) => unknown,
    onError: (error: unknown) => void,
  ): void {
    const { handler } = peer.path
    if (!handler) return
    try {
      const done = work(handler)
      if (isPromise(done)) done.then(undefined, onError)
    } catch (error) {
      onError(error)
    }
  }
}
