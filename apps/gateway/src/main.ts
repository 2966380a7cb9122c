import { type Command, UsageError } from './command.ts'
import { chatCommand } from './commands/chat.ts'
import { serveCommand } from './commands/serve.ts'
import { tailCommand } from './commands/tail.ts'
import { tokenCommand } from './commands/token.ts'

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['serve', serveCommand],
  ['chat', chatCommand],
  ['tail', tailCommand],
  ['token', tokenCommand],
])

const USAGE = `turnpike: the real-time gateway for AI agents

${[...COMMANDS.values()].map(({ usage }) => `  ${usage}`).join('\n')}

Environment of serve: PORT (3000), HOST (127.0.0.1), ALLOWED_ORIGINS (comma separated), TURNPIKE_DATA_DIR (.turnpike),
USER_CONNECTIONS (10, 0 is no limit);
TURNPIKE_TOKEN_SECRET or TURNPIKE_JWKS_URL, TURNPIKE_TOKEN_AUDIENCE, TURNPIKE_TOKEN_ISSUER for authentication;
OPENAI_API_KEY, ANTHROPIC_API_KEY, or OPENAI_BASE_URL with OPENAI_MODEL for a real model; DEMO_TOKENS_PER_SECOND (40) without one
Exit codes: 0 good, 1 failed, 2 wrong usage`

/** Runs one command line; resolves with the exit code once the command is over. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h') return tell(USAGE)
  const command = COMMANDS.get(name)
  if (!command) return misused(`there is no command "${name}".`, USAGE)
  if (rest.includes('--help') || rest.includes('-h')) return tell(command.usage)
  try {
    return await command.run(rest)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const isUsage = error instanceof UsageError || isMisparsed(error)
    if (isUsage) return misused(error.message, command.usage)
    console.error(`turnpike: ${error.message}`)
    return 1
  }
}

function isMisparsed(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && error.code.startsWith('ERR_PARSE_ARGS_')
}

function tell(text: string): number {
  console.log(text)
  return 0
}

function misused(message: string, usage: string): number {
  console.error(`turnpike: ${message}\n\n${usage}`)
  return 2
}

process.exitCode = await main(process.argv.slice(2))
