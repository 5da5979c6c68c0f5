// A log file that starts anew at a size: daemon.log, then daemon.1.log (the last one), daemon.2.log and so on.
import { closeSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname, join, parse } from 'node:path'

export interface RotatingFileOptions {
  /** Bytes at which the file is put aside. */
  maxBytes: number
  /** Files kept, the current one among them. */
  files: number
}

/** Bytes at the end of a file that are read for its last lines: 3,000 of them. */
const TAIL_BYTES = 1024 ** 2

/** Appends lines at once, so that the last words of a crash are on disk. A full disk loses log lines, never the daemon. */
export class RotatingFile {
  readonly path: string
  readonly #options: RotatingFileOptions
  #descriptor: number | undefined
  /** Written since the file was begun, or since it could not be put aside. */
  #bytes: number
  /** The last line did not fit on the disk as a whole. */
  #isTorn = false
  #isClosed = false

  constructor(path: string, options: RotatingFileOptions) {
    this.path = path
    this.#options = options
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#descriptor = this.#open()
    this.#bytes = statSync(path).size
  }

  write(line: string): void {
    if (this.#isClosed) return
    try {
      if (this.#bytes >= this.#options.maxBytes) this.#rotate()
      // A file that could not be opened at the last line may be by now: descriptors run out and come back.
      this.#descriptor ??= this.#open()
      const text = this.#isTorn ? `\n${line}` : line
      const written = writeSync(this.#descriptor, text)
      this.#bytes += written
      this.#isTorn = written < Buffer.byteLength(text)
    } catch {
      // No place to say it: the health check of the disk does.
    }
  }

  /** The last whole lines, oldest first, as far as the end of this file and of the one before it has them. */
  tail(count: number): string[] {
    if (count === 0) return []
    const { lines, isWhole } = linesAtEnd(this.path)
    return (isWhole && lines.length < count ? [...linesAtEnd(this.#aside(1)).lines, ...lines] : lines).slice(-count)
  }

  close(): void {
    this.#isClosed = true
    this.#release()
  }

  #open(): number {
    return openSync(this.path, 'a', 0o600)
  }

  #release(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  #rotate(): void {
    this.#release()
    // Also where the rest fails: tried at every line, it would push out one older file after the other.
    this.#bytes = 0
    rmSync(this.#aside(this.#options.files - 1), { force: true })
    for (let n = this.#options.files - 2; n >= 0; n--) {
      try {
        renameSync(this.#aside(n), this.#aside(n + 1))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
  }

  #aside(n: number): string {
    const { dir, name, ext } = parse(this.path)
    return n === 0 ? this.path : join(dir, `${name}.${n}${ext}`)
  }
}

/** @returns also whether there are none before them */
function linesAtEnd(path: string): { lines: string[]; isWhole: boolean } {
  try {
    const descriptor = openSync(path, 'r')
    try {
      const { size } = statSync(path)
      const start = Math.max(0, size - TAIL_BYTES)
      const bytes = Buffer.alloc(size - start)
      const read = readSync(descriptor, bytes, 0, bytes.byteLength, start)
      // What follows the last line's end is not whole.
      const lines = bytes
        .toString('utf8', 0, read)
        .split('\n')
        .slice(start === 0 ? 0 : 1, -1)
      return { lines: lines.filter(line => line !== ''), isWhole: start === 0 }
    } finally {
      closeSync(descriptor)
    }
  } catch {
    return { lines: [], isWhole: true }
  }
}
