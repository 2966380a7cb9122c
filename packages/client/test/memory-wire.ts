import {
  type Inbound,
  type Link,
  type LinkAddress,
  type LinkEnd,
  type LinkHandlers,
  type Wire,
  LinkLost,
} from '@turnpike/client/wire'
import { type CommandName, type PayloadOf, GatewayError } from '@turnpike/protocol'
import type { ModelConnection, ModelGateway } from './model-gateway.ts'

type Outcome = { readonly answer: object } | { readonly error: GatewayError | LinkLost }

interface Request {
  readonly name: CommandName
  readonly payload: PayloadOf<CommandName>
  readonly settle: (outcome: Outcome) => void
}

type Down =
  | { readonly kind: 'frame'; readonly frame: Inbound }
  | { readonly kind: 'answer'; readonly act: () => void }

/** A wire whose every step is taken by the test: opening, each command's way up, each frame's way down, and the end. */
export class MemoryWire implements Wire {
  readonly name: string
  readonly gateway: ModelGateway
  /** All that were opened, the latest last. */
  readonly links: MemoryLink[] = []

  constructor(gateway: ModelGateway, name = 'memory') {
    this.gateway = gateway
    this.name = name
  }

  get current(): MemoryLink | undefined {
    const last = this.links.at(-1)
    return last?.isEnded === false ? last : undefined
  }

  open(address: LinkAddress, handlers: LinkHandlers): MemoryLink {
    const link = new MemoryLink(this.gateway, { address, handlers })
    this.links.push(link)
    return link
  }
}

export class MemoryLink implements Link {
  readonly address: LinkAddress
  readonly up: Request[] = []
  readonly down: Down[] = []
  heardAt: number
  probes = 0
  isOpen = false
  isEnded = false
  readonly #handlers: LinkHandlers
  readonly #waiting = new Set<Request>()
  readonly #connection: ModelConnection

  constructor(
    gateway: ModelGateway,
    { address, handlers }: { address: LinkAddress; handlers: LinkHandlers },
  ) {
    this.address = address
    this.#handlers = handlers
    this.heardAt = address.clock.now()
    this.#connection = gateway.connect((frame) => this.down.push({ kind: 'frame', frame }))
  }

  request(name: CommandName, payload: PayloadOf<CommandName>, settle: (outcome: never) => void): void {
    const request: Request = { name, payload, settle: settle as Request['settle'] }
    if (this.isEnded) return request.settle({ error: new LinkLost() })
    this.#waiting.add(request)
    this.up.push(request)
  }

  probe(): void {
    this.probes++
  }

  close(): void {
    if (this.isEnded) return
    this.isEnded = true
    this.#connection.close()
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const { settle } of waiting) settle({ error: new LinkLost() })
  }

  /** Lets the client in. */
  accept(): void {
    if (this.isOpen || this.isEnded) return
    this.isOpen = true
    this.#handlers.onOpen()
  }

  /** The server takes the next command. */
  takeUp(): void {
    const request = this.up.shift()
    if (!request || this.isEnded) return
    const settle = (outcome: Outcome): void => {
      this.#waiting.delete(request)
      request.settle(outcome)
    }
    try {
      const { answer, begin } = this.#connection.handle(request.name, request.payload)
      this.down.push({ kind: 'answer', act: () => settle({ answer }) })
      begin?.()
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      this.down.push({ kind: 'answer', act: () => settle({ error }) })
    }
  }

  /** The client takes the next frame. */
  takeDown(): void {
    const next = this.down.shift()
    if (!next || this.isEnded) return
    this.heardAt = this.address.clock.now()
    if (next.kind === 'answer') next.act()
    else this.#handlers.onFrame(next.frame)
  }

  end(end: Partial<LinkEnd> = {}): void {
    if (this.isEnded) return
    this.close()
    this.#handlers.onEnd({ reached: this.isOpen, ...end })
  }
}
