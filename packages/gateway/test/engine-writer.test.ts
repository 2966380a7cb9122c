import { EventEmitter } from 'node:events'
import { Server as Engine, Socket as EngineSocket, Transport } from 'engine.io'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOf } from '../src/links/link.ts'
import { engineWriter } from '../src/transports/engine-writer.ts'
import { packetsIn, socketIoFraming } from '../src/transports/socket-io-framing.ts'

interface EnginePacket {
  readonly type: string
  readonly data?: string
}
type Request = ConstructorParameters<typeof Transport>[0] & ConstructorParameters<typeof EngineSocket>[3]

const request = { _query: { EIO: '4' }, connection: {} } as unknown as Request

const framing = socketIoFraming('/')
const head = '2["event",'

/** What a peer gets, in the order it gets it. */
class Peer {
  readonly taken: string[] = []

  take(packets: readonly EnginePacket[]): void {
    for (const { type, data } of packets) if (type === 'message' && data !== undefined) this.taken.push(data)
  }
}

abstract class FakeTransport extends Transport {
  readonly peer: Peer

  constructor(peer: Peer) {
    super(request)
    this.peer = peer
  }

  get supportsFraming(): boolean {
    return true
  }

  send(packets: EnginePacket[]): void {
    this.writable = false
    this.peer.take(packets)
  }

  doClose(done?: () => void): void {
    done?.()
  }

  /** What was sent is gone; there may be more. */
  ready(): void {
    if (this.writable) return
    this.writable = true
    this.emit('drain')
    this.emit('ready')
  }
}

class FakePolling extends FakeTransport {
  get name(): string {
    return 'polling'
  }
}

class FakeWebSocket extends FakeTransport {
  readonly socket: object

  constructor(peer: Peer) {
    super(peer)
    const net = Object.assign(new EventEmitter(), {
      writableLength: 0,
      write: (bytes: Uint8Array) => peer.taken.push(...packetsIn(bytes)),
    })
    this.socket = { extensions: '', readyState: 1, OPEN: 1, _socket: net, pause() {}, resume() {} }
    this.writable = true
  }

  get name(): string {
    return 'websocket'
  }
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('write' as const), frames: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'engine' as const }) },
  { weight: 3, arbitrary: fc.constant({ do: 'ready' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'probe' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'upgrade' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'ping' as const }) },
)

test('whatever is written when, and whenever the transport changes, everything comes once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const peer = new Peer()
      const polling = new FakePolling(peer)
      const websocket = new FakeWebSocket(peer)
      const server = new Engine({ pingInterval: 1_000_000 })
      const connection = new EngineSocket('id', server, polling, request, 4)
      const writer = engineWriter(connection)
      const written: string[] = []
      let probed = false
      for (const { do: what, ...rest } of steps) {
        if (what === 'write' && 'frames' in rest) {
          const packets = Array.from({ length: rest.frames }, (_, i) => `${written.length + i}`)
          written.push(...packets.map((json) => `${head}${json}]`))
          writer.write(
            bytesOf(
              framing,
              packets.map((json) => ({ name: 'event', json })),
            ),
          )
        }
        if (what === 'engine') {
          const ack = `3${written.length}[]`
          written.push(ack)
          connection.write(ack)
        }
        if (what === 'ping') connection['sendPacket']('ping')
        if (what === 'ready') (connection.transport as FakeTransport).ready()
        if (what === 'probe' && !probed) {
          probed = true
          connection._maybeUpgrade(websocket)
          websocket.emit('packet', { type: 'ping', data: 'probe' })
        }
        if (what === 'upgrade' && probed) {
          if (connection.transport === polling) websocket.emit('packet', { type: 'upgrade' })
        }
        await Promise.resolve()
      }
      for (let i = 0; i < 5; i++) (connection.transport as FakeTransport).ready()
      expect(peer.taken).toEqual(written)
      expect(writer.bufferedBytes).toBe(0)
      connection.close(true)
      server.close()
    }),
    { numRuns: 500 },
  )
})

test('what the engine holds is counted until it is handed to the transport', () => {
  const polling = new FakePolling(new Peer())
  const connection = new EngineSocket('id', new Engine(), polling, request, 4)
  const writer = engineWriter(connection)
  polling.ready()
  const before = writer.bufferedBytes
  writer.write(bytesOf(framing, [{ name: 'event', json: '"twelve bytes"' }]))
  connection.write('user')
  expect(writer.bufferedBytes - before).toBe(`${head}"twelve bytes"]`.length + 'user'.length)
  polling.ready()
  expect(writer.bufferedBytes).toBe(0)
  expect(engineWriter(connection)).toBe(writer)
  connection.close(true)
})

test.each([0, 1, 100, 110, 125, 126, 200, 65_400, 65_535, 65_536, 100_000])(
  'a frame with %i characters is unpacked as the packet it is',
  (length) => {
    for (const namespace of ['/', '/agents/a/chat/stream']) {
      const own = socketIoFraming(namespace)
      const frames = ['x', 'é', '漢', '😀'].map((letter) => ({
        name: 'text-delta',
        json: JSON.stringify({ delta: letter.repeat(length) }),
      }))
      const prefix = namespace === '/' ? '2' : `2${namespace},`
      expect(packetsIn(bytesOf(own, frames))).toEqual(
        frames.map(({ name, json }) => `${prefix}["${name}",${json}]`),
      )
    }
  },
)
