import type { HttpBindings } from '@hono/node-server'
import type { Principal } from '@turnpike/agents'
import { type CommandName, type PayloadOf, GatewayError, LIMITS } from '@turnpike/protocol'
import { decodeCommand, parseJson } from '@turnpike/protocol/wire'
import type { Context } from 'hono'
import type { Admission } from '../access/admission.ts'
import type { Gateway } from '../gateway.ts'
import type { Admitted } from '../access/identity.ts'
import type { Page, ThreadPage } from '../stores/store.ts'
import type { Ticket } from '../access/tickets.ts'

/** What Hono knows of a request here: Node's own objects. */
export type Env = { Bindings: HttpBindings }

const PAGE_LIMIT = 50

/**
 * Who asks, and until when that is good.
 *
 * @throws GatewayError `unauthorized` | `too-many-connections` | `rate-limited`
 */
export async function admittedOf(c: Context<Env>, { admission, users }: Gateway): Promise<Admitted> {
  const admitted = await waiting(admission, () => admission.admit(admission.presentedWith(c.env.incoming)))
  await users.takeCommand(admitted.principal)
  return admitted
}

/** Who asks. @throws GatewayError as {@link admittedOf} */
export async function principalOf(c: Context<Env>, gateway: Gateway): Promise<Principal> {
  return (await admittedOf(c, gateway)).principal
}

/** A ticket for who asks. @throws GatewayError `unauthorized` | `too-many-connections` | `rate-limited` */
export function ticketOf(c: Context<Env>, { admission }: Gateway): Promise<Ticket> {
  return waiting(admission, () => admission.ticketFor(c.env.incoming))
}

async function waiting<Verdict>(admission: Admission, decide: () => Promise<Verdict>): Promise<Verdict> {
  admission.requests.assertRoom()
  const leave = admission.requests.enter()
  return decide().finally(leave)
}

/** A command made of a request's parts. @throws GatewayError `invalid-payload` */
export function checked<Name extends CommandName>(name: Name, payload: unknown): PayloadOf<Name> {
  return decodeCommand(name, payload).payload as PayloadOf<Name>
}

/** The JSON body of a request. @throws GatewayError `payload-too-large` | `invalid-frame` | `too-deep` | `invalid-payload` */
export async function bodyOf(c: Context<Env>, maxBytes: number): Promise<object> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of c.env.incoming) {
    size += (chunk as Buffer).length
    if (size > maxBytes)
      throw new GatewayError('payload-too-large', `A body may have at most ${maxBytes} bytes.`)
    chunks.push(chunk as Buffer)
  }
  const body = parseJson(Buffer.concat(chunks).toString())
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body
  throw new GatewayError('invalid-payload', 'The body has to be a JSON object.')
}

/** The page of messages that `limit` and `before` ask for. @throws GatewayError `invalid-payload` */
export function pageOf(c: Context<Env>): Page {
  const before = positive(c, 'before')
  return { limit: limitOf(c), ...(before !== undefined && { before }) }
}

/**
 * The page of threads that `q`, `limit` and `before`, `<updatedAt>-<id>`, ask for.
 *
 * @throws GatewayError `invalid-payload`
 */
export function threadPageOf(c: Context<Env>): ThreadPage {
  const search = c.req.query('q')
  const page = { limit: limitOf(c), ...(search?.trim() && { search }) }
  const before = c.req.query('before')
  if (before === undefined) return page
  const [, updatedAt, id] = /^(\d{1,15})-(.*)$/su.exec(before) ?? []
  if (updatedAt === undefined || id === undefined) {
    throw new GatewayError('invalid-payload', '"before" must be the "before" of the page before.')
  }
  return { ...page, before: { updatedAt: Number(updatedAt), id } }
}

/** The version that is asked for; undefined for the latest. @throws GatewayError `invalid-payload` */
export function versionOf(c: Context<Env>): number | undefined {
  return positive(c, 'version')
}

function limitOf(c: Context<Env>): number {
  return Math.min(positive(c, 'limit') ?? PAGE_LIMIT, LIMITS.historyMessages)
}

function positive(c: Context<Env>, name: string): number | undefined {
  const text = c.req.query(name)
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new GatewayError('invalid-payload', `"${name}" must be a positive whole number.`)
}
