import { parseArgs } from 'node:util'
import { type Command, UsageError } from '../command.ts'
import { mintToken } from '../mint-token.ts'

/** `turnpike token`: prints a token for somebody. */
export const tokenCommand: Command = {
  usage: `turnpike token <user> [--role <role>]... [--ttl <seconds>]
      print a token that a server with the same TURNPIKE_TOKEN_SECRET takes`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { role: { type: 'string', multiple: true }, ttl: { type: 'string' } },
    })
    const [user, ...more] = positionals
    if (user === undefined || more.length > 0) throw new UsageError('A token is for exactly one user.')
    const { role: roles, ttl } = values
    if (ttl !== undefined && !/^[1-9]\d*$/.test(ttl)) {
      throw new UsageError(`--ttl must be a whole number of seconds from 1, got "${ttl}".`)
    }
    const token = await mintToken(process.env, {
      user,
      ...(roles && { roles }),
      ...(ttl !== undefined && { ttlSeconds: Number(ttl) }),
    })
    console.log(token)
    return 0
  },
}
