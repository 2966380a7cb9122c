import type { Client } from '@turnpike/client'
import { addSamples } from './figures.ts'

/** Measures how long a client is without its connection; returns what stops it. */
export function watchConnection({ connection }: Client): () => void {
  let lostAt: number | undefined
  let wasOpen = false
  return connection.onChange(({ status }) => {
    const at = Date.now()
    if (status === 'open') {
      if (lostAt !== undefined) addSamples('reconnect', [{ at, ms: at - lostAt }])
      lostAt = undefined
      wasOpen = true
    } else if (wasOpen) {
      lostAt ??= at
    }
  })
}
