/**
 * The corpus that comes with Shoal: the State of the Union addresses of 1790 to 2021 (public domain; see test/peers/build-sotu.mjs for the source).
 *
 * The asset sotu.txt.br is brotli over UTF-8 lines, one address a line in order of time: the year, a tab, the text. Four eras cut it into shards that
 * differ in vocabulary and topic as private data does. A fixed part of each era is never trained on.
 */
import { brotliDecompressSync } from 'node:zlib'
import { TrainingError } from '../errors.ts'
import { HELD_OUT_EVERY, MAX_BUILTIN_CORPUS_BYTES } from './constants.ts'

/** The eras, oldest first, with the first and last year of each. */
export const ERAS = [
  { name: '1790-1860', from: 1790, to: 1860 },
  { name: '1861-1913', from: 1861, to: 1913 },
  { name: '1914-1960', from: 1914, to: 1960 },
  { name: '1961-2021', from: 1961, to: 2021 }
] as const

export type EraName = (typeof ERAS)[number]['name']

export interface Era {
  name: EraName
  /** Addresses to train on, in order of time. */
  training: string[]
  /** Addresses that nobody trains on: the same ones in every version. */
  heldOut: string[]
}

export interface BuiltinCorpus {
  eras: Era[]
}

/**
 * Opens the asset's bytes (the caller reads the file; takes about 0.1 s).
 * @throws TrainingError `bad_corpus` when they are not the asset
 */
export function openBuiltinCorpus(asset: Uint8Array): BuiltinCorpus {
  const addresses = decompress(asset)
    .split('\n')
    .slice(0, -1)
    .map(line => {
      const tab = line.indexOf('\t')
      return { year: Number(line.slice(0, tab)), text: line.slice(tab + 1) }
    })
  const eras = ERAS.map(({ name, from, to }) => {
    const texts = addresses.filter(({ year }) => year >= from && year <= to).map(({ text }) => text)
    const isHeldOut = (index: number) => index % HELD_OUT_EVERY === HELD_OUT_EVERY / 2
    return { name, training: texts.filter((_, i) => !isHeldOut(i)), heldOut: texts.filter((_, i) => isHeldOut(i)) }
  })
  if (eras.some(era => era.heldOut.length === 0)) {
    throw new TrainingError('bad_corpus', `opening the built-in corpus: ${addresses.length} lines, and not every era has addresses`, {
      hint: 'install Shoal again'
    })
  }
  return { eras }
}

/**
 * Reads a name of built-in text: `sotu` is all eras, `sotu:1790-1860` one, `sotu:1790-1860,1914-1960` several. Null when it names no built-in text.
 * @throws TrainingError `unknown_era`
 */
export function parseBuiltinName(name: string): EraName[] | null {
  if (name === 'sotu') return ERAS.map(era => era.name)
  if (!name.startsWith('sotu:')) return null
  return name
    .slice('sotu:'.length)
    .split(',')
    .map(wanted => {
      const era = ERAS.find(({ name }) => name === wanted)
      if (era === undefined) {
        const eras = ERAS.map(({ name }) => name)
        // In the message: a daemon's log and its events have no room for hints.
        const message = `reading ${JSON.stringify(name)}: the built-in corpus has no era ${JSON.stringify(wanted)}, only ${eras.join(', ')}`
        throw new TrainingError('unknown_era', message, { details: { era: wanted, eras } })
      }
      return era.name
    })
}

function decompress(asset: Uint8Array): string {
  try {
    return brotliDecompressSync(asset, { maxOutputLength: MAX_BUILTIN_CORPUS_BYTES }).toString('utf8')
  } catch (cause) {
    throw new TrainingError('bad_corpus', `opening the built-in corpus: its ${asset.length} bytes are damaged`, {
      hint: 'install Shoal again',
      cause
    })
  }
}
