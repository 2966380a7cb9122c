import * as z from 'zod/mini'
import { LIMITS } from './limits.ts'

/** An id that a client may choose: any text of 1 to 256 characters without control characters. */
export const ClientId = z
  .string()
  .check(
    z.minLength(1),
    z.maxLength(LIMITS.idChars),
    z.regex(/^(?!\.\.?$)[^\p{Cc}\p{Cs}]*$/u, 'must not hold control characters, nor be a dot'),
  )

const TextPart = z.object({ type: z.literal('text'), text: z.string() })
const ReasoningPart = z.object({ type: z.literal('reasoning'), text: z.string() })
const FilePart = z
  .object({
    type: z.literal('file'),
    mediaType: z.string().check(z.minLength(1)),
    url: z.optional(z.string()),
    data: z.optional(z.string()),
  })
  .check(
    z.refine(
      (part) => (part.url === undefined) !== (part.data === undefined),
      'needs either "url" or "data"',
    ),
  )

const ToolPart = z.object({
  type: z.literal('tool'),
  toolCallId: z.string(),
  tool: z.string(),
  args: z.optional(z.unknown()),
  result: z.optional(z.unknown()),
  error: z.optional(z.object({ code: z.string(), message: z.string() })),
  approval: z.optional(
    z.object({
      approvalId: z.string(),
      expiresAt: z.number(),
      approved: z.optional(z.boolean()),
      by: z.optional(z.string()),
      reason: z.optional(z.string()),
    }),
  ),
  state: z.enum(['arguments', 'approval', 'running', 'done', 'failed']),
})

const ArtifactPart = z.object({
  type: z.literal('artifact'),
  id: z.string(),
  version: z.int(),
  kind: z.string(),
  title: z.string(),
})

const MessagePart = z.discriminatedUnion('type', [TextPart, ReasoningPart, ToolPart, FilePart, ArtifactPart])

/** One message of a thread's history, as stored, in snapshots and in `start.input`. */
export const Message = z.object({
  id: z.string(),
  role: z.enum(['user', 'assistant']),
  parts: z.array(MessagePart),
  runId: z.optional(z.string()),
  status: z.enum(['open', 'done', 'cancelled', 'failed']),
  /** Of an answer: whose it is, and why it failed. */
  agent: z.optional(z.string()),
  error: z.optional(z.object({ code: z.string(), message: z.string() })),
  createdAt: z.number(),
})

/** What a client sends as a message: text, or parts of text and files. */
export const MessageInput = z.union([
  z.string().check(z.minLength(1, 'must not be empty')),
  z.object({
    parts: z
      .array(z.discriminatedUnion('type', [TextPart, FilePart]))
      .check(z.minLength(1, 'must not be empty'), z.maxLength(LIMITS.messageParts)),
  }),
])

export type MessagePart = z.infer<typeof MessagePart>
export type ToolPart = z.infer<typeof ToolPart>
export type Message = z.infer<typeof Message>
export type MessageInput = z.infer<typeof MessageInput>
