// Times as people type them: 500ms, 30s, 8m, 1h, or a bare number of seconds.
import { CliError } from './errors.ts'

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** Milliseconds, for times that something waits: the longest that one Node timer can; a longer one would fire at once. */
export const LONGEST_WAIT_MS = 2 ** 31 - 1
/** Milliseconds, for times that pass by themselves: a hundred years, within what a date can be away from today. */
const LONGEST_MS = 36_500 * UNITS_MS.d!

/** @returns milliseconds. @throws CliError `bad_argument`. */
export function parseDuration(text: string, mostMs: number = LONGEST_MS): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim())
  const milliseconds = match === null ? Number.NaN : Math.ceil(Number(match[1]) * UNITS_MS[match[2] ?? 's']!)
  if (!(milliseconds > 0) || milliseconds > mostMs) {
    const mostDays = Math.floor(mostMs / UNITS_MS.d!)
    throw new CliError('bad_argument', `"${text}" is not a time: write a number above 0 with ms, s, m, h or d, at most ${mostDays} days`, {
      hint: 'for example 30s or 8m'
    })
  }
  return milliseconds
}
