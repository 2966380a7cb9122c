import { readFileSync } from 'node:fs'
import {
  type Answer,
  type ErrorBody,
  type ThreadEvent,
  type ThreadReset,
  EVENT_TYPES,
} from '@turnpike/protocol'
import { threadStreamEvents } from '@turnpike/protocol/thread-stream'
import type { Frame } from '@turnpike/protocol/wire'
import { expect, test } from 'vitest'
import { bytesOf } from '../src/links/link.ts'
import { packetsIn, socketIoFraming } from '../src/transports/socket-io-framing.ts'

interface GoldenCase {
  readonly why: string
  readonly namespace?: string
  readonly event?: ThreadEvent
  readonly reset?: ThreadReset
  readonly goodbye?: { readonly error: ErrorBody; readonly ticket?: string }
  readonly answered?: { readonly id: string | null; readonly answer: Answer }
  /** As they are on the wire, the mark of Engine.IO included. */
  readonly packets: readonly string[]
}

const path = new URL('./golden/thread-stream.json', import.meta.url)
const golden: GoldenCase[] = JSON.parse(readFileSync(path, 'utf8'))

function said({ event, reset, goodbye, answered }: GoldenCase): readonly Frame[] {
  if (event) return threadStreamEvents.encode(event)
  if (reset) return threadStreamEvents.reset(reset)
  if (goodbye) return threadStreamEvents.goodbye(goodbye.error, goodbye.ticket)
  return answered ? threadStreamEvents.answer(answered.id, answered.answer) : []
}

test('the golden packets of wire 3 hold every type of event', () => {
  const types = golden.flatMap(({ event }) => (event ? [event.type] : []))
  expect(new Set(types)).toEqual(new Set(EVENT_TYPES))
})

test.each(golden)('$why', (each) => {
  const frames = bytesOf(socketIoFraming(each.namespace ?? '/'), said(each))
  expect(packetsIn(frames).map((packet) => `4${packet}`)).toEqual(each.packets)
})
