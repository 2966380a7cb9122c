import { attachWebSocketTransport } from '@turnpike/gateway'
import { createGatewayServer } from '@turnpike/gateway/server'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { type ServerOptions, serveControl } from './control.ts'
import { orderedAgent } from './order.ts'
import { ThreadRecorder } from './thread-recorder.ts'

const { file, port = 0, limits = {}, users, recorded } = JSON.parse(process.argv[2] ?? '{}') as ServerOptions
const recorder = new ThreadRecorder()
const agent = recorded ? recorder.wrap(orderedAgent) : orderedAgent
const server = createGatewayServer({
  agents: [agent],
  store: sqliteStore(file === undefined ? {} : { file }),
  limits,
  ...(users && { authenticate: async (id: string) => ({ id }) }),
  logger: {
    info() {},
    error(fields, message) {
      // Runs that were lost are what a restart is to find.
      if (message === 'a run failed' && 'error' in fields && isLost(fields.error)) return
      process.stderr.write(`${message} ${JSON.stringify(fields, shown)}\n`)
    },
  },
})
createThreadStream(server)
attachWebSocketTransport(server.server, { ordered: agent }, { gateway: server.gateway })
recorder.gateway = server.gateway
serveControl(server, recorder)
process.send?.({ baseUrl: await server.listen(port) })

function isLost(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'run-lost'
}

function shown(_name: string, value: unknown): unknown {
  return value instanceof Error ? `${value.stack}` : value
}
