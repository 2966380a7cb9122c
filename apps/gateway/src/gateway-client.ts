import { type Client, createClient } from '@turnpike/client'
import { UsageError } from './command.ts'

/** What every command that talks to a gateway takes. */
export const CLIENT_OPTIONS = {
  url: { type: 'string', default: 'http://127.0.0.1:3000' },
  token: { type: 'string' },
} as const

/** A client of the gateway at `url`; the token may come from `TURNPIKE_TOKEN`. @throws UsageError */
export function gatewayClient({ url, token }: { url: string; token?: string | undefined }): Client {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new UsageError(`--url must be an http or https address, got "${url}".`)
  }
  return createClient({ url, token: token ?? (process.env['TURNPIKE_TOKEN'] || undefined) })
}
