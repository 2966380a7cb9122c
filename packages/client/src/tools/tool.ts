/** What a call is about. */
export interface ToolCallContext {
  readonly callId: string
  /** Aborts when nobody waits for the result any more: the run was stopped, the time is up, the gateway is gone. */
  readonly signal: AbortSignal
  /** The id of the user whose run it is; `anonymous` where nobody has to authenticate. */
  readonly user: string
  readonly runId: string
  readonly threadId: string
  /** The call as the events of the run name it. */
  readonly toolCallId: string
}

/** A JSON Schema of an object. */
export type JsonSchemaObject = Readonly<Record<string, unknown>> & { readonly '~standard'?: never }

/** A schema of a library that says itself as JSON Schema, such as zod 4: see standardschema.dev. */
export interface SchemaOf<Args> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => Validated<Args> | Promise<Validated<Args>>
    readonly jsonSchema: {
      readonly input: (options: { readonly target: 'draft-07' }) => Record<string, unknown>
    }
  }
}

type Validated<Args> =
  | { readonly value: Args; readonly issues?: undefined }
  | {
      readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[]
    }

/** Methods, not properties: so a tool whose arguments are known fits where any tool is wanted. */
interface ToolMethods<Args> {
  execute(args: Args, context: ToolCallContext): unknown
}

interface ToolDefinition<Args> {
  /** 1 to 64 characters of `a-z A-Z 0-9 _ -`. Agents name it `<entity>.<name>`. */
  readonly name: string
  /** What it is for, as the model is told. */
  readonly description?: string
  /** What it takes: JSON Schema, or a schema of zod 4 and its like. The gateway checks arguments against it. @default no arguments */
  readonly parameters?: SchemaOf<Args> | JsonSchemaObject
  /** Whether somebody has to approve each call first. @default false */
  readonly needsApproval?: boolean
  /**
   * Does the work. What it gives is JSON, or a promise of it.
   *
   * What it throws reaches the model and the readers of the thread as the message of the error.
   */
  readonly execute: ToolMethods<Args>['execute']
}

/** A tool that lives here, and that agents of a gateway may call. */
export type Tool = ToolDefinition<unknown>

/** A tool whose arguments are typed by its schema. */
export function tool<Args = Record<string, unknown>>(definition: ToolDefinition<Args>): Tool {
  return definition
}

/** A tool as the gateway is told of it: JSON. @throws TypeError where its parameters cannot be told as JSON Schema */
export function registered({ name, description = '', parameters, needsApproval = false }: Tool): object {
  return { name, description, parameters: schemaOf(name, parameters), needsApproval }
}

function schemaOf(name: string, parameters: Tool['parameters']): unknown {
  try {
    const schema = isSchema(parameters)
      ? parameters['~standard'].jsonSchema.input({ target: 'draft-07' })
      : parameters
    return JSON.parse(JSON.stringify(schema ?? { type: 'object', properties: {} }))
  } catch (cause) {
    const what = `The parameters of the tool ${JSON.stringify(name)} cannot be told as JSON Schema`
    throw new TypeError(`${what}: ${cause instanceof Error ? cause.message : 'unknown'}`, { cause })
  }
}

/** The arguments as the schema makes them. @throws Error naming what does not fit */
export async function argumentsFor({ parameters }: Tool, args: unknown): Promise<unknown> {
  if (!isSchema(parameters)) return args
  const checked = await parameters['~standard'].validate(args)
  if (!checked.issues) return checked.value
  const problems = checked.issues.map(({ message, path = [] }) => `${message} (${pathOf(path)})`)
  throw new TypeError(`The arguments do not fit the tool: ${problems.join('; ')}`)
}

function isSchema(parameters: Tool['parameters']): parameters is SchemaOf<unknown> {
  return parameters !== undefined && typeof parameters['~standard'] === 'object'
}

/** A step of a path is a name, or an object that has one. */
function pathOf(path: readonly unknown[]): string {
  return `/${path.map((step) => String(typeof step === 'object' && step !== null && 'key' in step ? step.key : step)).join('/')}`
}
