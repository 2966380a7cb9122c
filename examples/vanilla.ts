import { createClient } from '@turnpike/client'

const client = createClient({ url: 'http://127.0.0.1:3000' })

// The run is the server's: cut the network, and the loop goes on where it was, with nothing missed and nothing twice.
const run = await client.threads.stream({ agent: 'showcase', message: 'Plan a day in Kyoto.' })

for await (const event of run) {
  if (event.type === 'text-delta') console.log(event.delta)
  if (event.type === 'tool-call-result') console.log(`${event.tool}:`, event.result)
  if (event.type === 'approval-pending') {
    const { approvalId, tool } = event
    console.log(`${tool} needs approval, and gets it.`)
    await client.approvals.resolve({ approvalId, approved: true })
  }
}

const { status, text } = await run.finished
console.log(`${status}: ${text}`)
client.close()
