import en from 'zod/v4/locales/en.js'
import * as z from 'zod/mini'
import type { EventId } from './cursor.ts'
import { type ErrorBody, GatewayError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { ClientId, type Message, MessageInput } from './message.ts'

/** zod/mini brings no messages of its own. */
const inEnglish = en().localeError

/** What happens to a message for a thread whose run is still going on. */
export const WhenBusy = z.enum(['enqueue', 'reject', 'interrupt'])

/** The payload of each command, the same on every wire that speaks the canonical vocabulary. */
export const COMMANDS = {
  'thread.send': z.object({
    threadId: z.optional(ClientId),
    message: MessageInput,
    agent: z.optional(ClientId),
    runId: z.optional(ClientId),
    reasoning: z.optional(z.boolean()),
    whenBusy: z.optional(WhenBusy),
  }),
  'thread.subscribe': z.object({
    threadId: ClientId,
    lastEventId: z.optional(z.string()),
    reasoning: z.optional(z.boolean()),
  }),
  'thread.unsubscribe': z.object({ threadId: ClientId }),
  'run.cancel': z.object({ runId: ClientId }),
  'approval.resolve': z.object({
    approvalId: ClientId,
    approved: z.boolean(),
    reason: z.optional(z.string().check(z.maxLength(LIMITS.reasonChars))),
  }),
  auth: z.object({ token: z.string() }),
} as const

export type WhenBusy = z.infer<typeof WhenBusy>
export type CommandName = keyof typeof COMMANDS
export type PayloadOf<Name extends CommandName> = z.infer<(typeof COMMANDS)[Name]>

/** A decoded command: its name with the payload that belongs to it. */
export type Command = { [Name in CommandName]: { name: Name; payload: PayloadOf<Name> } }[CommandName]

/** Why a reader is sent the history instead of what it missed. */
export type ResetCause = 'expired' | 'unknown' | 'rolled-back' | 'lagged'

/** The state of a thread to go on from: the next event delivered is the successor of `head`. */
export interface History {
  readonly head: EventId
  readonly history: readonly Message[]
  /** Present where older messages were left out; the message history route has them, page by page. */
  readonly more?: true
}

/** Sent unasked where a reader can no longer be given every event. */
export interface ThreadReset extends History {
  readonly type: 'thread.reset'
  readonly threadId: string
  readonly cause: ResetCause
}

/** What became of a run that was asked to stop. */
export type CancelStatus = 'cancelling' | 'done' | 'cancelled' | 'failed'

/** What each command answers, beside `ok`. */
export interface Answers {
  'thread.send': { threadId: string; runId: string; status: 'started' | 'queued' }
  'thread.subscribe':
    | { recovered: true; head: EventId }
    | ({ recovered: false; cause?: ResetCause } & History)
  'thread.unsubscribe': Record<never, never>
  'run.cancel': { status: CancelStatus }
  'approval.resolve': { approved: boolean; first: boolean }
  auth: Record<never, never>
}

export type Answer<Name extends CommandName = CommandName> =
  | ({ ok: true } & Answers[Name])
  | { ok: false; error: ErrorBody }

/** Tells whether a word is a command's name. */
function isCommandName(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name)
}

/**
 * Checks a command that came from outside.
 *
 * @throws GatewayError `unknown-command` | `invalid-payload`, the message naming the first field that is wrong
 */
export function decodeCommand(name: string, payload: unknown): Command {
  if (isCommandName(name)) return { name, payload: checked(name, payload) } as Command
  const names = Object.keys(COMMANDS).join(', ')
  throw new GatewayError('unknown-command', `There is no such command. Commands: ${names}.`)
}

function checked(name: CommandName, payload: unknown): PayloadOf<CommandName> {
  return parsePayload<(typeof COMMANDS)[CommandName]>(name, COMMANDS[name], payload)
}

/**
 * Checks what came with `subject`, a command or an event of some wire.
 *
 * @throws GatewayError `invalid-payload`, the message naming the first field that is wrong
 */
export function parsePayload<Schema extends z.core.$ZodType>(
  subject: string,
  schema: Schema,
  payload: unknown,
): z.output<Schema> {
  const result = z.safeParse(schema, payload, { error: inEnglish })
  if (result.success) return result.data
  throw invalidPayload(subject, result.error)
}

/** Says which field of `subject` is wrong, and how; it never repeats the value. */
function invalidPayload(subject: string, error: z.core.$ZodError): GatewayError {
  const issue = error.issues[0]
  const field = issue?.path.length ? `"${issue.path.map(String).join('.')}"` : 'the payload'
  return new GatewayError(
    'invalid-payload',
    `${subject}: ${field} is not valid: ${issue?.message ?? 'unreadable'}.`,
  )
}
