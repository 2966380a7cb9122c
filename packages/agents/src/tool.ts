import { GatewayError } from '@turnpike/protocol'
import type { $ZodType, output } from 'zod/v4/core'
import type { RunContext } from './context.ts'
import { JsonSchema } from './json-schema.ts'
import type { ToolParameters } from './parameters.ts'

/** What a tool knows of the run that called it. `signal` aborts when the call's own time is up, too. */
export interface ToolContext extends RunContext {
  readonly toolCallId: string
}

/** Methods, not properties: so a tool whose arguments are known fits where any tool is wanted. */
interface ToolMethods<Args> {
  needsApproval(args: Args, context: ToolContext): boolean | Promise<boolean>
  execute(args: Args, context: ToolContext): unknown
}

interface ToolDefinition<Schema, Args> {
  /** What the model calls it: 1 to 128 characters of `a-z A-Z 0-9 _ . -`. */
  readonly name: string
  readonly description: string
  /** A schema of an object. The model sees it as JSON Schema; what it sends is checked against it. */
  readonly parameters: Schema
  /** Whether somebody has to approve a call before it is made. @default false */
  readonly needsApproval?: boolean | ToolMethods<Args>['needsApproval']
  /** Time that one call may take. @default the agent's `toolTimeoutMs` */
  readonly timeoutMs?: number
  /**
   * Does the work. Gives a value, a promise, or is an async generator: then each yield is a progress update (a number
   * 0 to 1, `{ progress, message }`, or anything else as a message) and what it returns is the result, or the last
   * yield where it returns nothing. A result is JSON.
   *
   * What it throws reaches the model and the clients as the message of the error.
   */
  readonly execute: ToolMethods<Args>['execute']
}

type ArgsOf<Schema> = Schema extends $ZodType ? output<Schema> : unknown

/** A tool that an agent can use. */
export type ToolDef = ToolDefinition<ToolParameters, unknown>

/**
 * Makes a tool; its arguments are typed by its zod schema.
 *
 * @throws GatewayError `invalid-payload` where its name is none that every provider takes
 */
export function defineTool<Schema extends ToolParameters>(
  tool: ToolDefinition<Schema, ArgsOf<Schema>>,
): ToolDef {
  checkToolName(tool.name)
  return tool
}

/**
 * Makes a tool whose arguments are described by JSON Schema, as it comes out of a file or from another program.
 *
 * The schema is interpreted: nothing that it says is run as code, and neither checking it nor what is checked against
 * it can take long. References lead within the schema.
 *
 * @throws GatewayError `invalid-payload` where the name or the schema is none
 */
export function jsonSchemaTool(
  tool: ToolDefinition<Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>>,
): ToolDef {
  checkToolName(tool.name)
  return { ...tool, parameters: new JsonSchema(tool.parameters) }
}

/** @throws GatewayError `invalid-payload` */
export function checkToolName(name: string): void {
  if (/^[\w.-]{1,128}$/.test(name)) return
  throw new GatewayError(
    'invalid-payload',
    `A tool's name is 1 to 128 characters of a-z A-Z 0-9 _ . -, got ${JSON.stringify(name)}.`,
  )
}
