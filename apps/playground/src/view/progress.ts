import type { Background } from '../run-facts.ts'
import { element, setText } from './element.ts'
import type { View } from './keyed-list.ts'

/** A background operation as a progress bar. */
export function progressView(): View<Background> {
  const name = element('span')
  const said = element('span', 'progress-said')
  const bar = element('progress')
  bar.max = 1
  const node = element('label', 'progress', element('span', 'progress-line', name, said), bar)
  return {
    node,
    update({ name: title, status, progress, message }) {
      node.dataset['status'] = status
      setText(name, title)
      setText(said, status === 'running' ? (message ?? `${Math.round(progress * 100)} %`) : status)
      bar.value = status === 'done' ? 1 : progress
    },
  }
}
