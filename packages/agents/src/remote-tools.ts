import type { JsonSchema } from './json-schema.ts'

/** Who calls a remote tool, and in what. */
export interface RemoteCaller {
  readonly toolCallId: string
  readonly runId: string
  readonly threadId: string
  /** The id of the principal whose run it is. */
  readonly user: string
  /** Ends the call. */
  readonly signal: AbortSignal
}

/** A tool that lives in another program. */
export interface RemoteTool {
  /** Who brings it. */
  readonly entity: string
  /** What its entity calls it. */
  readonly name: string
  readonly description: string
  readonly parameters: JsonSchema
  readonly needsApproval: boolean
  /** @throws GatewayError `tool-failed` | `tool-timeout` | `entity-gone` */
  readonly call: (args: unknown, caller: RemoteCaller) => Promise<unknown>
}

/** The tools that others have brought. */
export interface RemoteTools {
  /** Those that can be called at the moment and that one of the patterns names, in an order of their own. */
  readonly list: (patterns: readonly string[]) => readonly RemoteTool[]
}
