import { type Runnable, createAgent, defineAgent } from '@turnpike/agents'
import { demoModel } from '@turnpike/agents/demo'
import type { OpenTelemetry } from '@turnpike/gateway'
import { puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { LinkClient, parkingAgent, recordingLogger, testGateway } from './harness.ts'

interface Recorded {
  readonly name: string
  readonly kind: number
  readonly parent: string | undefined
  readonly attributes: Record<string, unknown>
  readonly startTime: number
  status: number
  endTime: number | undefined
}

/** A provider of tracers with the shape of the API; it keeps the spans in the order of their beginning. */
function recorder(isRecording = true): OpenTelemetry & { readonly spans: Recorded[]; started: number } {
  const spans: Recorded[] = []
  const byHandle = new Map<unknown, Recorded>()
  const telemetry = {
    spans,
    started: 0,
    context: { active: () => ({ span: undefined }) },
    trace: {
      setSpan: (_context: unknown, span: unknown) => ({ span }),
      getTracer: () => ({ startSpan }),
    },
  }
  const startSpan: ReturnType<OpenTelemetry['trace']['getTracer']>['startSpan'] = (
    name,
    options,
    context,
  ) => {
    telemetry.started++
    const parent = byHandle.get((context as { span: unknown }).span)?.name
    const startTime = options.startTime.getTime()
    const attributes = { ...options.attributes }
    const span: Recorded = {
      name,
      kind: options.kind,
      parent,
      attributes,
      startTime,
      status: 0,
      endTime: undefined,
    }
    const handle = {
      setAttributes: (more: object) => Object.assign(attributes, more),
      setStatus: ({ code }: { readonly code: number }) => (span.status = code),
      isRecording: () => isRecording,
      end: (endTime?: Date) => {
        expect(span.endTime).toBeUndefined()
        span.endTime = endTime?.getTime() ?? Date.now()
      },
    }
    byHandle.set(handle, span)
    if (isRecording) spans.push(span)
    return handle
  }
  return telemetry
}

async function traced(agent: Runnable, telemetry = recorder()): Promise<ReturnType<typeof recorder>> {
  const client = new LinkClient(testGateway([agent], { telemetry }))
  const { runId } = await client.ask('thread.send', { message: 'a secret question', threadId: 't' })
  await client.end(runId)
  return telemetry
}

const usage = { inputTokens: 3, outputTokens: 4 }

test('a run is a span that holds its steps and its tools', async () => {
  const { spans } = await traced(
    scriptedAgent('guide', [
      { type: 'step-start', step: 0 },
      { type: 'tool-call-start', toolCallId: 'c1', tool: 'weather' },
      { type: 'tool-call-args', toolCallId: 'c1', tool: 'weather', delta: '{"city":', args: undefined },
      { type: 'tool-call-args', toolCallId: 'c1', tool: 'weather', delta: '1}', args: { city: 'secret' } },
      { type: 'tool-call-result', toolCallId: 'c1', tool: 'weather', result: 'a secret result' },
      { type: 'step-finish', step: 0, finishReason: 'tool-calls', usage },
      { type: 'step-start', step: 1 },
      'a secret answer',
      { type: 'step-finish', step: 1, finishReason: 'stop', usage },
    ]),
  )
  expect(spans.map(({ name, parent, kind, status }) => ({ name, parent, kind, status }))).toEqual([
    { name: 'invoke_agent guide', parent: undefined, kind: 0, status: 0 },
    { name: 'chat', parent: 'invoke_agent guide', kind: 2, status: 0 },
    { name: 'execute_tool weather', parent: 'invoke_agent guide', kind: 0, status: 0 },
    { name: 'chat', parent: 'invoke_agent guide', kind: 2, status: 0 },
  ])
  const [root, first, tool, second] = spans
  expect(root?.attributes).toEqual({
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.agent.name': 'guide',
    'gen_ai.usage.input_tokens': 6,
    'gen_ai.usage.output_tokens': 8,
    'gen_ai.response.finish_reasons': ['stop'],
  })
  expect(first?.attributes).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.usage.input_tokens': 3,
    'gen_ai.response.finish_reasons': ['tool-calls'],
  })
  expect(second?.attributes['gen_ai.response.finish_reasons']).toEqual(['stop'])
  expect(tool?.attributes).toEqual({
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': 'weather',
    'gen_ai.tool.call.id': 'c1',
  })
  // The model had said everything when the tool began.
  expect(first?.endTime).toBe(tool?.startTime)
  for (const { endTime } of spans) expect(endTime).toBeDefined()
  expect(JSON.stringify(spans)).not.toContain('secret')
})

test('steps of members that work side by side have spans of their own', async () => {
  const finished = (step: number, inputTokens: number): object => ({
    type: 'step-finish',
    step,
    finishReason: 'stop',
    usage: { inputTokens, outputTokens: 1 },
  })
  const agent = scriptedAgent('both', [
    { type: 'step-start', step: 0 },
    { type: 'step-start', step: 1 },
    finished(0, 10),
    finished(1, 20),
  ] as never)
  const { spans } = await traced(agent)
  const chats = spans.filter(({ name }) => name === 'chat')
  expect(chats.map(({ attributes }) => attributes['gen_ai.usage.input_tokens'])).toEqual([10, 20])
  expect(chats.every(({ endTime }) => endTime !== undefined)).toBe(true)
})

test('the model and its provider are named where the agent tells them', async () => {
  const model = demoModel({ tokensPerSecond: 0 })
  const { spans } = await traced(createAgent({ name: 'demo', model, instructions: 'i', register: false }))
  const chat = spans.find(({ kind }) => kind === 2)
  const { modelId, provider } = model
  expect(chat?.name).toBe(`chat ${modelId}`)
  expect(chat?.attributes).toMatchObject({
    'gen_ai.request.model': modelId,
    'gen_ai.provider.name': provider,
  })
})

test('what fails has its code as the type of the error', async () => {
  const agent = defineAgent({
    name: 'broken',
    register: false,
    async *run() {
      yield { type: 'step-start', step: 0 }
      yield { type: 'tool-call-start', toolCallId: 'c1', tool: 'send' }
      yield {
        type: 'tool-call-error',
        toolCallId: 'c1',
        tool: 'send',
        error: { code: 'denied', message: 'a secret message' },
      }
      throw new Error('a secret cause')
    },
  })
  const { spans } = await traced(agent)
  expect(spans.map(({ name, status, attributes }) => [name, status, attributes['error.type']])).toEqual([
    ['invoke_agent broken', 2, 'agent-failed'],
    ['chat', 2, 'agent-failed'],
    ['execute_tool send', 2, 'denied'],
  ])
  for (const { endTime } of spans) expect(endTime).toBeDefined()
  expect(JSON.stringify(spans)).not.toContain('secret')
})

test('a run that is cancelled ends all of its spans, and did not fail', async () => {
  const agent = puppetAgent('puppet')
  const telemetry = recorder()
  const client = new LinkClient(testGateway([agent], { telemetry }))
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  const run = await agent.nextRun()
  await run.say({ type: 'step-start', step: 0 })
  await run.say({ type: 'tool-call-start', toolCallId: 'c1', tool: 'send' })
  await client.ask('run.cancel', { runId })
  await client.end(runId)
  const [root, chat, tool] = telemetry.spans
  expect(root).toMatchObject({
    status: 0,
    attributes: { 'gen_ai.response.finish_reasons': ['cancelled'] },
  })
  expect(chat).toMatchObject({ status: 0 })
  expect(tool).toMatchObject({ status: 2, attributes: { 'error.type': 'cancelled' } })
  for (const { endTime } of telemetry.spans) expect(endTime).toBeDefined()
})

test('a run that waits for an approval is one span', async () => {
  const telemetry = recorder()
  const client = new LinkClient(testGateway([parkingAgent()], { telemetry }))
  const { runId } = await client.ask('thread.send', { message: 'one', threadId: 't' })
  const { approvalId } = await client.event('approval-pending')
  expect(telemetry.spans.map(({ endTime }) => endTime)).toEqual([undefined])
  await client.ask('approval.resolve', { approvalId, approved: true })
  await client.end(runId)
  expect(telemetry.spans.map(({ name }) => name)).toEqual(['invoke_agent parking'])
  expect(telemetry.spans[0]?.endTime).toBeDefined()
})

test('a tool whose call was approved begins with the decision', async () => {
  const telemetry = recorder()
  const agent = defineAgent({
    name: 'asking',
    register: false,
    async *run(_input, { approvals }) {
      yield { type: 'tool-call-start', toolCallId: 'c1', tool: 'send' }
      yield { type: 'tool-call-args', toolCallId: 'c1', tool: 'send', delta: '{}', args: {} }
      await approvals.request({ toolCallId: 'c1', tool: 'send', args: {} })
      yield { type: 'tool-call-result', toolCallId: 'c1', tool: 'send', result: 'sent' }
    },
  })
  const client = new LinkClient(testGateway([agent], { telemetry }))
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  const { approvalId } = await client.event('approval-pending')
  const asked = Date.now()
  await expect.poll(() => Date.now()).toBeGreaterThan(asked)
  await client.ask('approval.resolve', { approvalId, approved: true })
  await client.end(runId)
  const tool = telemetry.spans.find(({ name }) => name === 'execute_tool send')
  expect(tool?.startTime).toBeGreaterThan(asked)
})

test('where nobody records, a run costs one span', async () => {
  const steps = [{ type: 'step-start', step: 0 } as const, 'text']
  const telemetry = await traced(scriptedAgent('quiet', steps), recorder(false))
  expect(telemetry.started).toBe(1)
})

test('a tracer that throws costs the trace and not the run', async () => {
  const logger = recordingLogger()
  const telemetry: OpenTelemetry = {
    context: { active: () => undefined },
    trace: {
      setSpan: () => undefined,
      getTracer: () => {
        throw new Error('the tracer is down')
      },
    },
  }
  const client = new LinkClient(testGateway([scriptedAgent('plain', ['text'])], { telemetry, logger }))
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  expect(await client.end(runId)).toMatchObject({ type: 'finish', text: 'text' })
  expect(logger.errors).toHaveLength(1)
})
