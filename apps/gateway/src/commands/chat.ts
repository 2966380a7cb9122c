import { parseArgs } from 'node:util'
import { ChatSession } from '../chat-session.ts'
import { type Command, UsageError } from '../command.ts'
import { CLIENT_OPTIONS, gatewayClient } from '../gateway-client.ts'
import { paintFor } from '../terminal/paint.ts'
import { Transcript } from '../terminal/transcript.ts'

/** `turnpike chat`: a conversation with an agent. */
export const chatCommand: Command = {
  usage: `turnpike chat [--url <address>] [--agent <name>] [--thread <id>] [--token <token>] [--reasoning]
      talk to an agent; each line of a pipe is a message; TURNPIKE_TOKEN is a token, too`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...CLIENT_OPTIONS,
        agent: { type: 'string' },
        thread: { type: 'string' },
        reasoning: { type: 'boolean', default: false },
      },
    })
    const { thread: threadId, reasoning } = values
    if (threadId === '') throw new UsageError('--thread must not be empty.')
    await using client = gatewayClient(values)
    // Whoever cannot be reached at the beginning is mostly somebody else; later it is worth waiting.
    const [first] = await client.agents.list()
    const agent = values.agent ?? first?.name
    const transcript = new Transcript(paintFor(process.stderr))
    using session = new ChatSession({ client, transcript, threadId, agent, reasoning })
    return await session.run()
  },
}
