const NEAR_PX = 48

/** Keeps a scrolled area at its end while new content comes, as long as that is where the user has left it. */
export class FollowScroll {
  readonly #area: HTMLElement
  readonly #jump: HTMLButtonElement
  #pinned = true

  /** @param jump - A button that leads back to the end; shown while the user is elsewhere. */
  constructor(area: HTMLElement, jump: HTMLButtonElement) {
    this.#area = area
    this.#jump = jump
    area.addEventListener('scroll', () => this.#look(), { passive: true })
    jump.addEventListener('click', () => this.toEnd())
    // The window, the composer or something folded has changed its size.
    const sizes = new ResizeObserver(() => this.settle())
    sizes.observe(area)
    for (const child of area.children) sizes.observe(child)
  }

  /** To be called when content has changed. */
  settle(): void {
    if (this.#pinned) this.#area.scrollTop = this.#area.scrollHeight
    this.#look()
  }

  toEnd(): void {
    this.#pinned = true
    this.settle()
  }

  #look(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#area
    this.#pinned = scrollHeight - scrollTop - clientHeight <= NEAR_PX
    this.#jump.hidden = this.#pinned
  }
}
