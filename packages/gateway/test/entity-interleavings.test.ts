import { GatewayError } from '@turnpike/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Machine, TestPeer, entityMachine, toolInfo } from './entity-machine.ts'

const ENTITIES = ['a', 'b'] as const
const CALL_MS = 100
const SILENCE_MS = 150

type Fate = { readonly value: unknown } | { readonly error: unknown }

interface Made {
  readonly entity: string
  readonly peer: TestPeer
  readonly callId: string
  readonly abort: AbortController
  fate: Fate | undefined
  /** What the peer that it went to has answered while it was still the entity's; the first counts. */
  answered: string | undefined
}

/** What happens to a machine, and what a reader of it has to find afterwards. */
class World {
  readonly made: Made[] = []
  readonly peers: TestPeer[] = []
  readonly #machine: Machine
  readonly #current = new Map<string, TestPeer>()

  constructor(machine: Machine) {
    this.#machine = machine
  }

  connect(entity: string): void {
    const peer = new TestPeer()
    this.peers.push(peer)
    this.#machine.machine.register(peer, entity, [toolInfo('t')])
    this.#current.set(entity, peer)
  }

  leave(index: number): void {
    const peer = this.#pick(this.peers, index)
    if (!peer) return
    this.#machine.machine.leave(peer)
    for (const [entity, current] of this.#current) if (current === peer) this.#current.delete(entity)
  }

  call(entity: string): void {
    const peer = this.#current.get(entity)
    const before = peer?.callIds.length ?? 0
    if (!peer || this.#machine.machine.list([`${entity}.t`]).length === 0) return
    const abort = new AbortController()
    const work = this.#machine.call(`${entity}.t`, abort.signal)
    const made: Made = {
      entity,
      peer,
      callId: peer.callIds[before] ?? '',
      abort,
      fate: undefined,
      answered: undefined,
    }
    this.made.push(made)
    work.then(
      (value) => (made.fate = { value }),
      (error: unknown) => (made.fate = { error }),
    )
  }

  /** Some connection, perhaps the wrong one, says something of some call, perhaps again. */
  answer(index: number, by: number, fails: boolean): void {
    const made = this.#pick(this.made, index)
    const peer = this.#pick(this.peers, by)
    if (!made || !peer) return
    const says = `${peer === made.peer ? 'true' : 'forged'} ${made.callId}`
    const outcome = fails ? { error: new GatewayError('tool-failed', says) } : { result: says }
    try {
      this.#machine.machine.settle(peer, made.callId, outcome)
      expect(peer).toBe(made.peer)
      expect(made.answered).toBeUndefined()
      made.answered = says
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      expect(error.code).toBe('unknown-call')
    }
  }

  abort(index: number): void {
    const made = this.#pick(this.made, index)
    if (!made) return
    made.abort.abort()
    const late = { result: 'late' }
    expect(() => this.#machine.machine.settle(made.peer, made.callId, late)).toThrow('Nobody waits')
  }

  pass(ms: number): void {
    this.#machine.wheel.pass(ms)
    for (const [entity, { closedWith }] of this.#current) if (closedWith) this.#current.delete(entity)
  }

  /** Everybody has gone; what was open has ended. */
  end(): void {
    for (const peer of this.peers) this.#machine.machine.leave(peer)
  }

  #pick<Item>(items: readonly Item[], index: number): Item | undefined {
    return items[index % Math.max(1, items.length)]
  }
}

const entity = fc.constantFrom(...ENTITIES)
const index = fc.nat(20)
const happening = fc.oneof(
  entity.map((name) => (world: World) => world.connect(name)),
  index.map((i) => (world: World) => world.leave(i)),
  entity.map((name) => (world: World) => world.call(name)),
  entity.map((name) => (world: World) => world.call(name)),
  fc.tuple(index, index, fc.boolean()).map(
    ([i, by, fails]) =>
      (world: World) =>
        world.answer(i, by, fails),
  ),
  index.map((i) => (world: World) => world.abort(i)),
  fc.integer({ min: 1, max: 120 }).map((ms) => (world: World) => world.pass(ms)),
)

test('however connections, answers and ends cross, each call ends once, and by its own entity or not at all', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 60 }), async (happenings) => {
      const machine = entityMachine({
        entityCallMs: CALL_MS,
        entitySilenceMs: SILENCE_MS,
        registrationsPerMinute: 6_000_000,
      })
      const world = new World(machine)
      for (const happen of happenings) {
        // One that storms is refused, which is another test's.
        try {
          happen(world)
        } catch (error) {
          if (!(error instanceof GatewayError) || error.code !== 'rate-limited') throw error
        }
      }
      await Promise.resolve()
      world.end()
      await new Promise(setImmediate)
      for (const made of world.made) {
        if (!made.fate) throw new Error('A call has not ended.')
        const told = made.peer.cancelled.filter((callId) => callId === made.callId)
        if (made.answered !== undefined) {
          const said = 'value' in made.fate ? made.fate.value : (made.fate.error as GatewayError).message
          expect(said).toBe(made.answered)
          expect(said).toMatch(/^true /)
          expect(told).toEqual([])
        } else {
          const { code } = ('error' in made.fate ? made.fate.error : {}) as GatewayError
          expect(['entity-gone', 'tool-timeout', 'cancelled']).toContain(code)
          // Who was not told has nothing left to be told on.
          expect(told).toHaveLength(code === 'entity-gone' ? 0 : 1)
        }
      }
      expect(machine.machine.size).toBe(0)
      expect(machine.wheel.size).toBe(0)
    }),
    { numRuns: 300 },
  )
})
