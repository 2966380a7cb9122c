import type { ReactElement } from 'react'
import { EventStreamColumn } from './event-stream-column.tsx'
import { SocketIoColumn } from './socket-io-column.tsx'
import { WebSocketColumn } from './websocket-column.tsx'
import type { WireColumnProps } from './wire-lines.ts'

interface ShownWire {
  readonly name: string
  readonly Column: (props: WireColumnProps) => ReactElement
}

/** The wires that a run is shown on, side by side. Another one is another line here, and a component. */
export const WIRES: readonly ShownWire[] = [
  { name: 'WebSocket', Column: WebSocketColumn },
  { name: 'Server-Sent Events', Column: EventStreamColumn },
  { name: 'Socket.IO', Column: SocketIoColumn },
]
