/** The bare server in a process that has loaded what the manager needs: else ours has room in its heap that this has not. */
import '@turnpike/gateway/manager'
import './bare-ws.ts'
