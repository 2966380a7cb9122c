/** Makes an element with a class and children. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = '',
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag)
  if (className) node.className = className
  node.append(...children)
  return node
}

/**
 * Finds an element of the page by its `data-testid`.
 *
 * @throws Error where the page has none of that kind
 */
export function onPage<Kind extends HTMLElement>(testId: string, kind: new () => Kind): Kind {
  const node = document.querySelector(`[data-testid="${testId}"]`)
  if (node instanceof kind) return node
  throw new Error(`The page has no ${kind.name} with data-testid="${testId}".`)
}

/** Sets a text where it differs, so that what has not changed is not touched. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text
}
