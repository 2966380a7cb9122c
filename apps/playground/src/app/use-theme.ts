import { useEffect } from 'react'
import type { Theme } from '../settings/settings.ts'

/** Lets the style know which theme was chosen; without a choice it is the system's. */
export function useTheme(theme: Theme): void {
  useEffect(() => {
    const { dataset } = document.documentElement
    if (theme === 'system') delete dataset['theme']
    else dataset['theme'] = theme
  }, [theme])
}
