/** What shows one item, and goes on showing it as it changes. */
export interface View<Item> {
  readonly node: HTMLElement
  update(item: Item): void
}

interface Shown<Item> {
  readonly view: View<Item>
  item: Item
}

/** Shows items in order, each in a view of its own that lives as long as its key; equal items are not touched. */
export class KeyedList<Item extends object> {
  readonly #container: HTMLElement
  readonly #keyOf: (item: Item, index: number) => string
  readonly #create: (item: Item) => View<Item>
  #shown = new Map<string, Shown<Item>>()

  constructor(
    container: HTMLElement,
    keyOf: (item: Item, index: number) => string,
    create: (item: Item) => View<Item>,
  ) {
    this.#container = container
    this.#keyOf = keyOf
    this.#create = create
  }

  update(items: readonly Item[]): void {
    const next = new Map<string, Shown<Item>>()
    let place: ChildNode | null = this.#container.firstChild
    for (const [index, item] of items.entries()) {
      const key = this.#keyOf(item, index)
      const shown = this.#shown.get(key) ?? this.#show(item)
      if (shown.item !== item) {
        shown.item = item
        shown.view.update(item)
      }
      next.set(key, shown)
      this.#shown.delete(key)
      if (shown.view.node === place) place = place.nextSibling
      else this.#container.insertBefore(shown.view.node, place)
    }
    for (const { view } of this.#shown.values()) view.node.remove()
    this.#shown = next
  }

  #show(item: Item): Shown<Item> {
    const view = this.#create(item)
    view.update(item)
    return { view, item }
  }
}
