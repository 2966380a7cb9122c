import { once } from 'node:events'
import { type IncomingHttpHeaders, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
}

/** What a provider answers: the data of its events, or a refusal. */
export type Answer =
  | { readonly events: readonly unknown[]; readonly named?: boolean }
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body: unknown }

/** A provider's endpoint on this machine: it gives one answer after the other, cut into pieces of `pieceBytes`. */
export async function startProvider(answers: readonly Answer[], pieceBytes = 1_000_000) {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    void (async () => {
      let text = ''
      for await (const chunk of request) text += String(chunk)
      const answer = answers[asked.length]
      asked.push({ path: request.url ?? '', headers: request.headers, body: JSON.parse(text) })
      if (!answer || 'status' in answer) {
        const { status, headers, body } = answer ?? { status: 500, headers: {}, body: 'no more answers' }
        response
          .writeHead(status, { 'content-type': 'application/json', ...headers })
          .end(JSON.stringify(body))
        return
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const bytes = Buffer.from(answer.events.map((event) => frame(event, answer.named)).join(''))
      for (let start = 0; start < bytes.length; start += pieceBytes) {
        response.write(bytes.subarray(start, start + pieceBytes))
        await new Promise(setImmediate)
      }
      response.end()
    })()
  })
  let connections = 0
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    asked,
    get connections(): number {
      return connections
    },
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function frame(event: unknown, named = false): string {
  if (typeof event === 'string') return `data: ${event}\n\n`
  const type =
    named && typeof event === 'object' && event !== null && 'type' in event
      ? `event: ${String(event.type)}\n`
      : ''
  return `${type}data: ${JSON.stringify(event)}\n\n`
}

/** OpenAI's chat completions: deltas, why it ended, and the usage. */
export function chatCompletion(deltas: readonly object[], finishReason: string): Answer {
  const chunk = (more: object): object => ({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model: 'm',
    ...more,
  })
  return {
    events: [
      ...deltas.map((delta) => chunk({ choices: [{ index: 0, delta, finish_reason: null }] })),
      chunk({ choices: [{ index: 0, delta: {}, finish_reason: finishReason }] }),
      chunk({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } }),
      '[DONE]',
    ],
  }
}

/** Anthropic's messages: blocks with their deltas, and why it ended. */
export function anthropicMessage(
  blocks: readonly { start: object; deltas: readonly object[] }[],
  stopReason: string,
): Answer {
  const message = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [],
    stop_reason: null,
  }
  return {
    named: true,
    events: [
      {
        type: 'message_start',
        message: { ...message, stop_sequence: null, usage: { input_tokens: 7, output_tokens: 1 } },
      },
      { type: 'ping' },
      ...blocks.flatMap(({ start, deltas }, index) => [
        { type: 'content_block_start', index, content_block: start },
        ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
        { type: 'content_block_stop', index },
      ]),
      {
        type: 'message_delta',
        delta: { stop_reason: stopReason, stop_sequence: null },
        usage: { output_tokens: 3 },
      },
      { type: 'message_stop' },
    ],
  }
}
