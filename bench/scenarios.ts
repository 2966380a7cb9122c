import type { Scenario } from './scenario.ts'
import { agentLoop } from './scenarios/agent-loop.ts'
import { broadcast } from './scenarios/broadcast.ts'
import { closeAll } from './scenarios/close-all.ts'
import { connections } from './scenarios/connections.ts'
import { fanOut } from './scenarios/fan-out.ts'
import { firstDelta } from './scenarios/first-delta.ts'
import { idle } from './scenarios/idle.ts'
import { paced } from './scenarios/paced.ts'
import { replay } from './scenarios/replay.ts'
import { stalled } from './scenarios/stalled.ts'
import { store } from './scenarios/store.ts'
import { throughput } from './scenarios/throughput.ts'

/** All there is to measure; targets are about frames as short as can be (`ws small`), unless a figure says otherwise. */
export const scenarios: readonly Scenario[] = [
  throughput(1, 10, { websocket: 1.1, sse: 1.4, 'socket.io': 1.45 }),
  throughput(8, 10, { websocket: 0.25, sse: 0.45, 'socket.io': 0.6 }),
  throughput(8, 100, { websocket: 0.25, sse: 0.45, 'socket.io': 0.6 }),
  paced,
  firstDelta,
  fanOut(1, 0.95),
  fanOut(8, 0.15),
  idle,
  connections(1_000),
  connections(5_000),
  broadcast,
  closeAll,
  stalled('websocket'),
  stalled('socket.io'),
  replay,
  agentLoop,
  store,
]
