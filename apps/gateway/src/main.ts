import { serve, settingsFrom } from './serve.ts'

const USAGE = `turnpike: the real-time gateway for AI agents

  turnpike serve    serve the gateway and its page

Environment: PORT (3000), HOST (127.0.0.1), ALLOWED_ORIGINS (comma separated);
OPENAI_API_KEY, ANTHROPIC_API_KEY, or OPENAI_BASE_URL with OPENAI_MODEL for a real model; DEMO_TOKENS_PER_SECOND (40) without one`

/** Runs one command line; resolves with the exit code once the command is over. */
export async function main(args: readonly string[]): Promise<number> {
  const [command] = args
  if (command === '--help' || command === undefined) {
    console.log(USAGE)
    return 0
  }
  if (command !== 'serve') {
    console.error(`turnpike: there is no command "${command}".\n\n${USAGE}`)
    return 2
  }
  const server = await serve(settingsFrom(process.env), process.env)
  console.log(`Turnpike is open at ${server.url}`)
  await stopSignal()
  console.log('Closing: runs in progress may end. Once more to stop at once.')
  await server.close()
  return 0
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

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(`turnpike: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
