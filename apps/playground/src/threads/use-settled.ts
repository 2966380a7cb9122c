import { useEffect, useState } from 'react'

/** A value once it has stayed the same for so long. */
export function useSettled<Value>(value: Value, delayMs: number): Value {
  const [settled, settle] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => settle(value), delayMs)
    return () => clearTimeout(timer)
  }, [value, delayMs])
  return settled
}
