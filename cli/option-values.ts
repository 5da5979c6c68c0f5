// Readers for option values, so that a wrong one is a usage error that names what is wanted.
import { resolve } from 'node:path'
import { MAX_SPAN_MS } from '../protocols/control/constants.ts'
import { LONGEST_WAIT_MS, parseDuration } from './duration.ts'
import { CliError } from './errors.ts'

/** @returns a reader for whole numbers within bounds. */
export function wholeNumber(least = 0, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`
      throw new CliError('bad_argument', `"${text}" is not a whole number ${range}`)
    }
    return value
  }
}

/** @returns a reader for numbers within bounds. */
export function decimalNumber(least: number, most: number): (text: string) => number {
  return text => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (!(value >= least && value <= most)) throw new CliError('bad_argument', `"${text}" is not a number from ${least} to ${most}`)
    return value
  }
}

/** Milliseconds for which something is to hold. */
export const duration = (text: string): number => parseDuration(text, MAX_SPAN_MS)

/** Milliseconds that something waits. */
export const wait = (text: string): number => parseDuration(text, LONGEST_WAIT_MS)

/** A file or folder, absolute. An empty text would mean the folder that the shell is in: an unset variable in a script is no choice of one. */
export function namedPath(text: string): string {
  if (text === '') throw new CliError('bad_argument', '"" names no file or folder')
  return resolve(text)
}

/** For options that may be given several times. */
export function collected(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text]
}

/** `1,2,3`, one at least. */
export function commaList(text: string): string[] {
  const parts = text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
  if (parts.length === 0) throw new CliError('bad_argument', `"${text}" names nothing`, { hint: 'one or more, with commas between them' })
  return parts
}

/** `KEY=VALUE`, the value as JSON where it is JSON; several make one mapping. */
export function setting(text: string, before: Record<string, unknown> | undefined): Record<string, unknown> {
  const split = text.indexOf('=')
  if (split < 1)
    throw new CliError('bad_argument', `"${text}" is not a setting: write KEY=VALUE`, { hint: 'for example optimizer.learningRate=3e-3' })
  return { ...before, [text.slice(0, split)]: jsonOrText(text.slice(split + 1)) }
}

/** `NODE=ENGINE`; several make one mapping. The scenario's reader says whether there can be such a node. */
export function engineOfNode(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const [node, engine, ...rest] = text.split('=')
  if (!node || !engine || rest.length > 0)
    throw new CliError('bad_argument', `"${text}" names no node's engine: write NODE=ENGINE`, { hint: 'for example 2=wasm' })
  return { ...before, [node]: engine }
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
