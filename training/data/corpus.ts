/** Bytes of a user's text file to documents: plain text is one document, JSONL one a line. Every complaint names the file, the line and the way out. */
import { TrainingError } from '../errors.ts'
import { MAX_CORPUS_FILE_BYTES } from './constants.ts'

const TEXT_NAMES = /\.(txt|text|md)$/i
const JSON_LINES_NAMES = /\.(jsonl|ndjson)$/i
const NEWLINE = 0x0a

/** Whether a file of this name is read as text. A folder's other files are left out. */
export function isCorpusFile(name: string): boolean {
  return TEXT_NAMES.test(name) || JSON_LINES_NAMES.test(name)
}

/**
 * The documents of one file.
 *
 * `.txt`, `.text`, `.md`: the whole file, without a byte-order mark. `.jsonl`, `.ndjson`: the field `text` of each line's object; blank lines are skipped.
 *
 * @throws TrainingError `bad_corpus` (a name that says no format), `corpus_too_large`, `corpus_empty`, `invalid_utf8` (details: line, byteOffset),
 * `bad_json_line` (details: line)
 */
export function parseCorpus(name: string, bytes: Uint8Array): string[] {
  if (bytes.length > MAX_CORPUS_FILE_BYTES) {
    throw new TrainingError('corpus_too_large', `reading ${name}: ${bytes.length} bytes, at most ${MAX_CORPUS_FILE_BYTES} in one file`, {
      hint: 'cut it into several files and name their folder',
      details: { name, bytes: bytes.length, limit: MAX_CORPUS_FILE_BYTES }
    })
  }
  const documents = JSON_LINES_NAMES.test(name) ? parseJsonLines(name, bytes) : TEXT_NAMES.test(name) ? [decodeUtf8(name, bytes, 1)] : null
  if (documents === null) {
    throw new TrainingError('bad_corpus', `reading ${name}: its name says neither plain text nor JSON lines`, {
      hint: 'name it .txt, .text or .md (one document), or .jsonl or .ndjson (one {"text": ...} a line)',
      details: { name }
    })
  }
  const kept = documents.filter(text => text.trim().length > 0)
  if (kept.length === 0) {
    throw new TrainingError('corpus_empty', `reading ${name}: it has no text`, { hint: 'give a file with text in it', details: { name } })
  }
  return kept
}

function parseJsonLines(name: string, bytes: Uint8Array): string[] {
  const documents: string[] = []
  for (let start = 0, line = 1; start < bytes.length; line++) {
    const found = bytes.indexOf(NEWLINE, start)
    const end = found === -1 ? bytes.length : found
    const text = decodeUtf8(name, bytes.subarray(start, end), line)
    if (text.trim() !== '') documents.push(textField(name, line, text))
    start = end + 1
  }
  return documents
}

function textField(name: string, line: number, json: string): string {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw badLine(name, line, 'is not JSON', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badLine(name, line, 'is not an object')
  if (!('text' in value)) throw badLine(name, line, 'has no field "text"')
  if (typeof value.text !== 'string') throw badLine(name, line, `has a field "text" that is not a string but ${typeof value.text}`)
  return value.text
}

function badLine(name: string, line: number, what: string, cause?: unknown): TrainingError {
  return new TrainingError('bad_json_line', `reading ${name}: line ${line} ${what}`, {
    hint: 'every line must be one object like {"text": "..."}',
    details: { name, line },
    cause
  })
}

/** Decodes UTF-8, a leading byte-order mark dropped (it marks the encoding, it is no text). `line` is that of the first byte. */
function decodeUtf8(name: string, bytes: Uint8Array, line: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    const byteOffset = firstInvalidByte(bytes)
    const at = line + bytes.subarray(0, byteOffset).reduce((count, byte) => count + (byte === NEWLINE ? 1 : 0), 0)
    throw new TrainingError('invalid_utf8', `reading ${name}: line ${at} holds bytes that are not UTF-8`, {
      hint: 'convert the file, e.g. iconv -f latin1 -t utf-8, or leave it out if it is not text',
      details: { name, line: at, byteOffset },
      cause
    })
  }
}

/** Length of the longest prefix that decodes, found by halving: the decoder itself does not say where it stopped. */
function firstInvalidByte(bytes: Uint8Array): number {
  let good = 0
  let bad = bytes.length
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1
    if (isPrefixOfUtf8(bytes.subarray(0, middle))) good = middle
    else bad = middle
  }
  return good
}

function isPrefixOfUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
    return true
  } catch {
    return false
  }
}
