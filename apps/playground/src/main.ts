import { GatewayError } from '@turnpike/protocol'
import { listAgents } from './agents.ts'
import { ChannelLost } from './channel.ts'
import { Connection } from './connection.ts'
import { Conversation } from './conversation.ts'
import { openNewThread, threadOfAddress } from './thread-address.ts'
import { activeRun } from './thread-state.ts'
import { onDecision } from './view/decision.ts'
import { Page } from './view/page.ts'

let stopping: string | undefined

const conversation = new Conversation(threadOfAddress(), () => page.schedule())

const connection = new Connection({
  url: new URL('/stream', location.href).href.replace(/^http/, 'ws'),
  prepare: (channel) => conversation.attach(channel),
  onInbound: (inbound) => conversation.receive(inbound),
  onStatus(status) {
    if (status.kind !== 'connecting' && status.kind !== 'live')
      conversation.detach({ cut: status.kind === 'cut' })
    if (status.kind === 'live') void offerAgents()
    page.schedule()
  },
})

const page = new Page(() => ({ thread: conversation.state, status: connection.status, stopping }), {
  send: (text, agent) => conversation.send(text, agent),
  stop: () => void stop(),
  resend: (runId) => conversation.resend(runId),
  discard: (runId) => conversation.discard(runId),
  toggleConnection: () => (connection.status.kind === 'cut' ? connection.connect() : connection.cut()),
  newThread: openNewThread,
})

async function stop(): Promise<void> {
  const runId = activeRun(conversation.state)
  if (runId === undefined) return
  stopping = runId
  page.schedule()
  try {
    await conversation.cancel(runId)
  } catch (error) {
    if (!(error instanceof GatewayError) && !(error instanceof ChannelLost)) throw error
    // It goes on, so it can be asked for again.
    stopping = undefined
    page.schedule()
  }
}

async function offerAgents(): Promise<void> {
  const agents = await listAgents()
  if (agents) page.offer(agents)
}

/** A channel that is lost meanwhile comes back by itself. */
async function unlessLost(work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!(error instanceof ChannelLost)) throw error
  }
}

window.addEventListener('hashchange', () => void unlessLost(conversation.open(threadOfAddress())))
window.addEventListener('online', () => connection.hurry())
window.addEventListener('focus', () => {
  connection.hurry()
  void unlessLost(conversation.lookAgain())
})

onDecision(document, ({ approvalId, approved }) => void unlessLost(conversation.decide(approvalId, approved)))

connection.connect()
