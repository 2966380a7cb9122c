import { parseArgs } from 'node:util'
import type { Command } from '../command.ts'
import { serve, settingsFrom } from '../serve.ts'

/** `turnpike serve`: serves until it is asked to stop. */
export const serveCommand: Command = {
  usage: `turnpike serve
      serve the gateway and its page`,
  async run(args) {
    parseArgs({ args: [...args], options: {} })
    const settings = settingsFrom(process.env)
    const server = await serve(settings, process.env)
    const isOpen = !server.gateway.admission.isRequired
    console.log(`Turnpike is open at ${server.url}`)
    console.log(
      `Threads are kept in ${settings.dataDir}; ${isOpen ? 'everybody is let in' : 'a token is required'}.`,
    )
    await stopSignal()
    console.log('Closing: runs in progress may end. Once more to stop at once.')
    await server.close()
    return 0
  },
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        resolve()
        process.on(signal, () => process.exit(1))
      })
    }
  })
}
