// Times as people type them: 500ms, 30s, 8m, 1h, or a bare number of seconds.
import { CliError } from './errors.ts'

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** The longest that one Node timer can wait; a longer one would fire at once. */
const LONGEST_MS = 2 ** 31 - 1

/** @returns milliseconds. @throws CliError `bad_argument`. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim())
  const milliseconds = match === null ? Number.NaN : Math.ceil(Number(match[1]) * UNITS_MS[match[2] ?? 's']!)
  if (!(milliseconds > 0) || milliseconds > LONGEST_MS) {
    throw new CliError('bad_argument', `"${text}" is not a time: write a number above 0 with ms, s, m, h or d, at most 24 days`, {
      hint: 'for example 30s or 8m'
    })
  }
  return milliseconds
}
