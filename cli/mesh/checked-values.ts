// Readers for the values of a scenario: each answers the value meant or fails with its place, what is wrong and what is wanted. Pure.
import { LONGEST_WAIT_MS, parseDuration } from '../duration.ts'
import { nearestName } from '../nearest.ts'

/** Never returns: the scenario is refused. `path` is where the value stands, as `steps[2].node`. */
export type Fail = (path: string, what: string, want: string) => never

/** @param path `scenario` for the document itself, whose keys stand alone in errors. */
export function mapping(value: unknown, path: string, keys: string[], fail: Fail): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    fail(path, value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`, `want a mapping with ${keys.join(', ')}`)
  }
  for (const key of Object.keys(value as object)) {
    if (keys.includes(key)) continue
    const nearest = nearestName(key, keys)
    const at = path === 'scenario' ? key : `${path}.${key}`
    fail(at, 'is not a known key', nearest === undefined ? `the keys are ${keys.join(', ')}` : `did you mean ${nearest}?`)
  }
  return value as Record<string, unknown>
}

export function list(value: unknown, path: string, fail: Fail): unknown[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : fail(path, `is ${JSON.stringify(value)}`, 'want a list')
}

export function integer(value: unknown, path: string, least: number, most: number, fail: Fail): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    fail(path, value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`, `want a whole number from ${least} to ${most}`)
  }
  return value as number
}

export function oneOf<const Name extends string>(value: unknown, path: string, names: readonly Name[], fail: Fail): Name {
  if (typeof value === 'string' && (names as readonly string[]).includes(value)) return value as Name
  const nearest = typeof value === 'string' ? nearestName(value, names) : undefined
  return fail(
    path,
    value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`,
    nearest === undefined ? `want one of ${names.join(', ')}` : `did you mean ${nearest}?`
  )
}

/** Milliseconds of a time such as 5s: every one of a scenario is waited for. */
export function milliseconds(value: unknown, path: string, fail: Fail): number {
  try {
    return parseDuration(String(value), LONGEST_WAIT_MS)
  } catch {
    return fail(path, value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`, 'want a time such as 90s or 8m')
  }
}

/** `2`, or `1..3` for anything from 1 to 3. */
export function range(value: unknown, path: string, most: number, fail: Fail): { least: number; most: number } {
  const [first, last] = typeof value === 'string' ? (/^(\d+)\.\.(\d+)$/.exec(value)?.slice(1).map(Number) ?? []) : [value, value]
  const wrong = (): never =>
    fail(path, value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`, `want a whole number from 1 to ${most}, or two as 1..3`)
  const end = integer(last, path, 1, most, wrong)
  return { least: integer(first, path, 1, end, wrong), most: end }
}

/** Bits a second of a rate such as 1mbit, null of `unlimited`. */
export function bitsPerSecond(value: unknown, path: string, fail: Fail): number | null {
  if (value === 'unlimited') return null
  const [, number, unit] = /^(\d+(?:\.\d+)?)(kbit|mbit|gbit)$/.exec(String(value)) ?? []
  const bits = Number(number) * (BITS[unit ?? ''] ?? Number.NaN)
  if (bits >= LEAST_BITS) return Math.round(bits)
  return fail(
    path,
    value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`,
    'want a rate from 8kbit such as 1mbit, or unlimited'
  )
}

const BITS: Record<string, number> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 }
/** Below this one packet takes seconds: no network is that slow, and nothing would ever be over. */
const LEAST_BITS = 8000
