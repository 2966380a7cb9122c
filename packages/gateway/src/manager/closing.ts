import { CallError } from './websocket-error.ts'

const REASON_BYTES = 123

/** Why a connection is closed, as it can be sent. */
export interface Closing {
  readonly code: number
  readonly reason: string
}

/**
 * Checks what a peer is to be told: RFC 6455 section 7.4.
 *
 * @throws WebSocketError `invalid-payload`
 */
export function closingWith(code: number, reason: string): Closing {
  const isOfRfc = code >= 1_000 && code <= 1_014 && ![1_004, 1_005, 1_006].includes(code)
  const isOurs = code >= 3_000 && code <= 4_999
  if (!Number.isInteger(code) || !(isOfRfc || isOurs)) {
    throw new CallError(`A close code is 1000 to 1014 or 3000 to 4999, got ${code}.`, {
      code: 'invalid-payload',
    })
  }
  if (Buffer.byteLength(reason) > REASON_BYTES) {
    throw new CallError(`The reason of a close has at most ${REASON_BYTES} bytes.`, {
      code: 'invalid-payload',
    })
  }
  return { code, reason }
}
