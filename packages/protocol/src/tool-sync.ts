import * as z from 'zod/mini'
import { parsePayload } from './commands.ts'
import { GatewayError } from './errors.ts'
import { LIMITS } from './limits.ts'

const MAX_ERROR_CHARS = 4_096
const MAX_DESCRIPTION_CHARS = 8_192

const callId = z.string().check(z.maxLength(LIMITS.idChars))

/** A tool as an entity brings it. Its name has no dot, since `entity.tool` is divided at the last one. */
const EntityTool = z.object({
  name: z.string().check(z.regex(/^[\w-]{1,64}$/, 'a name is 1 to 64 characters of a-z A-Z 0-9 _ -')),
  description: z._default(z.string().check(z.maxLength(MAX_DESCRIPTION_CHARS)), ''),
  /** JSON Schema of an object; whether it is one is looked at where it is used. */
  parameters: z._default(z.record(z.string(), z.unknown()), {}),
  needsApproval: z._default(z.boolean(), false),
})

/** What an entity says: a service that brings tools to the agents. */
export const ENTITY_COMMANDS = {
  'tool.register': z.object({ tools: z.array(EntityTool) }),
  'tool.result': z.object({ callId, result: z.optional(z.unknown()) }),
  'tool.error': z.object({
    callId,
    error: z.union([z.string(), z.object({ code: z.optional(z.string()), message: z.string() })]),
  }),
  heartbeat: z.optional(z.nullable(z.looseObject({}))),
} as const

type EntityCommandName = keyof typeof ENTITY_COMMANDS

/** A tool that an entity registers. */
export type EntityToolInfo = z.output<typeof EntityTool>

/** A command of an entity that was checked. */
export type EntityCommand = {
  readonly [Name in EntityCommandName]: {
    readonly name: Name
    readonly payload: z.output<(typeof ENTITY_COMMANDS)[Name]>
  }
}[EntityCommandName]

/** What a gateway says to an entity: make this call, and, additive, for whom and where. */
export interface ToolCallRequest {
  readonly callId: string
  /** As the entity calls it. */
  readonly tool: string
  readonly args: unknown
  /** The call as the events of the run name it. */
  readonly toolCallId: string
  readonly runId: string
  readonly threadId: string
  /** The id of the user whose run it is; `anonymous` where nobody has to authenticate. */
  readonly user: string
}

/** What is told to an entity unasked. */
export interface EntityNews {
  'tool.call': ToolCallRequest
  /** Nobody waits for the result any more. */
  'tool.cancel': { readonly callId: string }
}

/**
 * Checks a command of an entity.
 *
 * @throws GatewayError `unknown-command` | `invalid-payload`
 */
export function decodeEntityCommand(name: string, payload: unknown): EntityCommand {
  if (Object.hasOwn(ENTITY_COMMANDS, name)) {
    const known = name as EntityCommandName
    const checked = parsePayload<(typeof ENTITY_COMMANDS)[EntityCommandName]>(
      name,
      ENTITY_COMMANDS[known],
      payload,
    )
    return { name: known, payload: checked } as EntityCommand
  }
  const names = Object.keys(ENTITY_COMMANDS).join(', ')
  throw new GatewayError('unknown-command', `There is no such command here. Commands: ${names}.`)
}

/** What an entity says of a call that failed, as it may be shown. */
export function messageOfToolError(error: string | { readonly message: string }): string {
  const message = typeof error === 'string' ? error : error.message
  if (message === '') return 'The tool failed.'
  return message.length > MAX_ERROR_CHARS ? `${message.slice(0, MAX_ERROR_CHARS - 1)}…` : message
}
