// Numbers on the command lines of the tools in this folder: one that was mistyped must not become a run that never ends, or one that looks at nothing.

/** A flag that makes no sense. */
export class UsageError extends Error {}

/** @throws UsageError for what is no whole number of at least `least` */
export function numberFlag(flag: string, value: string, least: number): number {
  const number = Number(value)
  if (Number.isSafeInteger(number) && number >= least && value.trim() !== '') return number
  throw new UsageError(`--${flag} must be a whole number of at least ${least}, not "${value}"`)
}
