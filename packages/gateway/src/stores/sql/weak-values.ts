/** Objects by key, each for as long as somebody else has it. */
export class WeakValues<Key, Value extends object> {
  readonly #references = new Map<Key, WeakRef<Value>>()
  readonly #gone = new FinalizationRegistry<Key>((key) => {
    if (!this.#references.get(key)?.deref()) this.#references.delete(key)
  })

  get(key: Key, make: () => Value): Value {
    const known = this.#references.get(key)?.deref()
    if (known) return known
    const value = make()
    this.#references.set(key, new WeakRef(value))
    this.#gone.register(value, key)
    return value
  }
}
