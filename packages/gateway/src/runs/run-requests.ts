import { createHash, randomUUID } from 'node:crypto'
import type { Principal, Runnable } from '@turnpike/agents'
import type { DirectCall, RunSettings } from '@turnpike/agents/host'
import { type Message, type PayloadOf, GatewayError } from '@turnpike/protocol'
import type { Payer } from './budgets.ts'
import type { RunRecord } from '../stores/store.ts'
import { type ThreadRef, ANONYMOUS } from '../stores/thread-ref.ts'

/** Finds what is to run, by the name a client knows it by. */
export type FindAgent = (name?: string) => Runnable | undefined

/** What a wire knows of a message beside what the command says. */
export interface SendSettings {
  /** The caller's key for the model; it is kept with the run and nowhere else. */
  readonly apiKey?: string
  /** Where the wire has names of its own. @default what the gateway serves */
  readonly findAgent?: FindAgent
  /** Whom the sender says it is for. It counts where the sender is anonymous; who has authenticated pays. */
  readonly chargedTo?: string
  /** What the sender asks of the model. */
  readonly settings?: RunSettings
  /** A tool that is called in place of an answer; the message says so in words. */
  readonly toolCall?: DirectCall
  /**
   * Whether the sender waits for the run's end: it is told of that also where it asks again for a run of before it came,
   * and where a history takes the place of what it missed. @default false
   */
  readonly awaitsEnd?: boolean
}

/** A message to be answered in a thread that its sender may write to. */
export interface SendRequest extends SendSettings {
  readonly principal: Principal
  readonly thread: ThreadRef
  readonly payload: PayloadOf<'thread.send'>
}

/** What tells a request from all others. */
export type RequestIds = Pick<RunRecord, 'id' | 'fingerprint'>

export function idsOf({ payload }: SendRequest): RequestIds {
  const fingerprint = createHash('sha256').update(JSON.stringify(payload.message)).digest('base64')
  return { id: payload.runId ?? randomUUID(), fingerprint }
}

/** @throws GatewayError `run-id-conflict` */
export function assertSame(
  known: Pick<RunRecord, 'thread' | 'fingerprint'>,
  { payload }: SendRequest,
  { fingerprint }: RequestIds,
): void {
  const isSameThread = payload.threadId === undefined || payload.threadId === known.thread.id
  if (isSameThread && fingerprint === known.fingerprint) return
  throw new GatewayError('run-id-conflict', 'This run id was used with another thread or message.')
}

/** Who has authenticated pays, whatever it says. */
export function payerOf({ principal, chargedTo }: SendRequest): Payer {
  return { principal, ...(principal.id === ANONYMOUS.id && chargedTo !== undefined && { chargedTo }) }
}

/** The run that a request comes to. */
export function recordOf(request: SendRequest, of: RequestIds & Pick<RunRecord, 'agent'>): RunRecord {
  const { thread, payload, settings, toolCall } = request
  const { message } = payload
  const input: Message = {
    id: randomUUID(),
    role: 'user',
    parts: typeof message === 'string' ? [{ type: 'text', text: message }] : message.parts,
    runId: of.id,
    status: 'done',
    createdAt: Date.now(),
  }
  const asked = { ...(settings && { settings }), ...(toolCall && { toolCall }) }
  return { ...of, ...payerOf(request), ...asked, thread, input, messageId: randomUUID(), state: 'queued' }
}
