const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const DAY_MS = 86_400_000

/** The time of day: `13:05`. */
export function clockTime(ms: number): string {
  return TIME.format(ms)
}

/** The time of day, or the day where that is not today's. */
export function timeOrDay(ms: number, now = Date.now()): string {
  const isToday = now - ms < DAY_MS && new Date(ms).getDate() === new Date(now).getDate()
  return isToday ? TIME.format(ms) : DAY.format(ms)
}
