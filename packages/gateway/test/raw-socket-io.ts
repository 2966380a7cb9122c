import { once } from 'node:events'
import { WebSocket } from 'ws'

export interface RawClient {
  /** All packets that came, but for pings. */
  readonly said: string[]
  readonly socket: WebSocket
  readonly closed: Promise<void>
  readonly send: (packet: string) => void
  /** The first packet with that beginning. */
  readonly next: (beginning: string) => Promise<string>
}

/** A client that knows nothing of waiting: it sends what it has as soon as the transport is open. */
export async function rawClient(
  url: string,
  packets: readonly (string | Buffer)[] = [],
  headers: Readonly<Record<string, string>> = {},
): Promise<RawClient> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/?EIO=4&transport=websocket`, { headers })
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const said: string[] = []
  const waiting = new Set<() => void>()
  socket.on('message', (data: Buffer) => {
    const packet = data.toString()
    if (packet === '2') return socket.send('3')
    said.push(packet)
    for (const check of waiting) check()
  })
  socket.on('open', () => {
    for (const packet of packets) socket.send(packet)
  })
  await once(socket, 'message')
  const next = (beginning: string): Promise<string> =>
    new Promise((resolve) => {
      const check = (): void => {
        const found = said.find((packet) => packet.startsWith(beginning))
        if (found === undefined) return
        waiting.delete(check)
        resolve(found)
      }
      waiting.add(check)
      check()
    })
  return { said, socket, closed, send: (packet) => socket.send(packet), next }
}

/** A client that polls, one request after the other. */
export async function rawPolling(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly sid: string; readonly post: Post; readonly poll: () => Promise<Response> }> {
  const base = `${url}/?EIO=4&transport=polling`
  const opened = await (await fetch(base, { headers })).text()
  const sid = /"sid":"([^"]+)"/.exec(opened)?.[1] ?? ''
  return {
    sid,
    post: (packets, from = headers) => {
      const body = packets.join('\u001e')
      return fetch(`${base}&sid=${sid}`, { method: 'POST', body, headers: from })
    },
    poll: () => fetch(`${base}&sid=${sid}`, { headers }),
  }
}

type Post = (packets: readonly string[], headers?: Readonly<Record<string, string>>) => Promise<Response>
