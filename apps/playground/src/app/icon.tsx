import type { ReactElement } from 'react'

const PATHS = {
  menu: 'M4 7h16M4 12h16M4 17h16',
  plus: 'M12 5v14M5 12h14',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M7 7h10v10H7z',
  down: 'M12 5v14M6 13l6 6 6-6',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  chevron: 'M9 6l6 6-6 6',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5.5v13l10-6.5z',
  events: 'M4 7h16M4 12h10M4 17h13',
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM20 20l-4.9-4.9',
  connections: 'M8 12h8M6 8.5a3.5 3.5 0 1 0 0 7M18 8.5a3.5 3.5 0 1 1 0 7',
  wires: 'M3 8h4c5 0 5 8 10 8h4M3 16h4c1.6 0 2.7-.8 3.5-1.9M21 8h-4c-1.6 0-2.7.8-3.5 1.9',
  settings: 'M4 8h9M19 8h1M4 16h1M11 16h9M16 5.5v5M8 13.5v5',
  document: 'M7 3.5h7l4 4v13H7zM14 3.5v4h4M10 12h5M10 16h5',
  memory: 'M7 4h10v16l-5-3.5L7 20z',
  warning: 'M12 4.5l8.5 15h-17zM12 10.5v4M12 17.2v.1',
} as const

export type IconName = keyof typeof PATHS

/** A small drawing in the colour of the text around it. It says nothing to a screen reader. */
export function Icon({ name }: { readonly name: IconName }): ReactElement {
  return (
    <svg className="icon" data-icon={name} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  )
}
