import { socketIoWire, sseWire, transportConformance, websocketWire } from '@turnpike/testkit'
import { serveThreads } from './thread-server.ts'

const socketIoWires = [
  socketIoWire(['websocket']),
  socketIoWire(['polling']),
  socketIoWire(['polling', 'websocket']),
]

transportConformance({ serve: serveThreads, wires: [websocketWire, sseWire, ...socketIoWires] })
