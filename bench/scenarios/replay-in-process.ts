import { defineAgent } from '@turnpike/agents'
import type { Framing, Link } from '@turnpike/gateway'
import { createGatewayServer } from '@turnpike/gateway/server'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { END, type Order } from '../order.ts'
import { produce } from '../servers/agent.ts'

const REPLAYS = 20
const ORIGIN = '0000000000000-0000000000'

/** The simplest framing: what is measured is not its work. */
function lines(name: string): Framing {
  return {
    name,
    maxBytes: ({ json }) => json.length + 1,
    write: ({ json }, target, offset) => offset + target.write(`${json}\n`, offset, 'latin1'),
  }
}

class CountingLink implements Link {
  readonly framing: Framing
  readonly bufferedBytes = 0
  bytes = 0
  last: Uint8Array = Buffer.alloc(0)

  constructor(framing: Framing) {
    this.framing = framing
  }

  write(bytes: Uint8Array): void {
    this.bytes += bytes.length
    this.last = bytes
  }

  pause(): void {}

  close(): void {}
}

/**
 * What replaying one event costs without a socket, in µs: where another reader of that kind reads on, and where nobody
 * of its kind has read before.
 */
export async function replayInProcess(events: number): Promise<{ warm: number; cold: number }> {
  const order: Order = { seed: -1, deltas: events, bytes: 24, burst: 8, hold: true }
  const agent = defineAgent({
    name: 'bench',
    register: false,
    run: ({ text }, { signal }) => produce(JSON.parse(text) as Order, signal),
  })
  const server = createGatewayServer({ agents: [agent] })
  await server.listen(0)
  const { gateway } = server
  const follow = async (link: CountingLink): Promise<number> => {
    const session = gateway.listen(link, threadStream, { id: 'anonymous' })
    const before = process.cpuUsage()
    const { begin } = await session.subscribe({ threadId: 'held', lastEventId: ORIGIN })
    begin?.()
    const { user, system } = process.cpuUsage(before)
    session.close()
    if (!isWhole(link)) throw new Error('A replay is not whole.')
    return (user + system) / events
  }
  const live = new CountingLink(lines('live'))
  const sender = gateway.listen(live, threadStream, { id: 'anonymous' })
  const { begin } = await sender.send({ threadId: 'held', message: JSON.stringify(order) })
  begin?.()
  while (!isWhole(live)) await new Promise(setImmediate)
  let warm = 0
  let cold = 0
  for (let count = 0; count < REPLAYS; count++) {
    warm += await follow(new CountingLink(lines('live')))
    cold += await follow(new CountingLink(lines(`new ${count}`)))
  }
  sender.close()
  await server.close(0)
  return { warm: warm / REPLAYS, cold: cold / REPLAYS }
}

function isWhole({ last }: CountingLink): boolean {
  return Buffer.from(last).includes(END)
}
