import { GatewayError } from '@turnpike/protocol'

/**
 * The same request with a body of at most so many bytes: one whose length nobody told fails while it is read.
 *
 * @throws GatewayError `payload-too-large`
 */
export function withBodyOf(maxBytes: number, request: Request): Request {
  const { method, url, headers, signal } = request
  if (Number(headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes)
  // Without it the length was told, and Node reads no more than that.
  if (!headers.has('transfer-encoding') || !request.body) return request
  let size = 0
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      size += chunk.length
      if (size > maxBytes) controller.error(tooLarge(maxBytes))
      else controller.enqueue(chunk)
    },
  })
  const body = request.body.pipeThrough(counter)
  return new Request(url, { method, headers: [...headers], signal, body, duplex: 'half' })
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError('payload-too-large', `A body may have at most ${maxBytes} bytes.`)
}
