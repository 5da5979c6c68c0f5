// Where a command's words go: data to stdout, remarks to stderr, a redrawn area only on a terminal.
import { plainJson, severalLines } from '../protocols/control/printable.ts'
import type { Failure } from './errors.ts'

/** Options of {@link Output}. */
export interface OutputOptions {
  /** One JSON document on stdout instead of text. */
  json: boolean
  /** Fewer (-1) or more (1) remarks on stderr. */
  verbosity: number
  /** Colours and redrawing allowed. */
  color: boolean
}

/** The only thing in the command line that writes to the standard streams. */
export class Output {
  readonly json: boolean
  readonly verbosity: number
  readonly color: boolean
  #area: { render(text: string): void; clear(): void; done(): void } | undefined

  constructor(options: OutputOptions) {
    this.json = options.json
    this.verbosity = options.verbosity
    this.color = options.color
  }

  /** For a command whose work is worth more than its words: it goes on where nobody reads them any more, and they are dropped. Any other ends with its reader. */
  outliveReader(): void {
    process.stdout.removeAllListeners('error').on('error', () => {})
  }

  /** Whether a person looks at stdout: live tables are drawn only then. */
  get isTerminal(): boolean {
    return process.stdout.isTTY === true && !this.json
  }

  /** Text for people; nothing in JSON mode. */
  text(text: string): void {
    if (!this.json) this.#write(`${severalLines(text)}\n`)
  }

  /** The one document of a read; nothing in text mode. */
  document(value: unknown): void {
    if (this.json) this.#write(`${plainJson(JSON.stringify(value, null, 2))}\n`)
  }

  /** The same answer in the form that was asked for. */
  answer(value: unknown, text: () => string): void {
    if (this.json) this.document(value)
    else this.text(text())
  }

  /** One line of a stream: a JSON object a line in JSON mode, else the text. */
  streamLine(value: unknown, text: () => string): void {
    this.line(this.json ? JSON.stringify(value) : text())
  }

  /** One line of a stream that is in the right form already. */
  line(line: string): void {
    this.#write(`${this.json ? plainJson(line) : severalLines(line)}\n`)
  }

  /** A piece of a longer text as it comes; nothing in JSON mode. Only a terminal is kept from what it would take for orders: a file gets every character. */
  piece(text: string): void {
    if (!this.json) this.#write(this.isTerminal ? severalLines(text) : text)
  }

  /** Progress of a long command: stdout in text mode, stderr beside a JSON document, nothing with --quiet. */
  progress(text: string): void {
    if (this.verbosity < 0) return
    if (this.json) this.#remark(text)
    else this.text(text)
  }

  /** A remark on stderr, dropped by --quiet. */
  note(text: string): void {
    if (this.verbosity >= 0) this.#remark(text)
  }

  /** A remark on stderr that only --verbose shows. */
  detail(text: string): void {
    if (this.verbosity > 0) this.#remark(text)
  }

  /** Redraws the live area below the lines written so far. Does nothing in a pipe. */
  async live(text: string): Promise<void> {
    if (!this.isTerminal) return
    if (this.#area === undefined) {
      const { createLogUpdate } = await import('log-update')
      const update = createLogUpdate(process.stdout)
      this.#area = { render: update, clear: () => update.clear(), done: () => update.done() }
    }
    this.#area.render(severalLines(text))
  }

  /** Leaves the live area as it stands. */
  liveDone(): void {
    this.#area?.done()
    this.#area = undefined
  }

  /** `code: message`, the hint below; in JSON mode the error document, the only one on stdout or the last line of a stream: so it is one line. */
  failure(failure: Failure): void {
    this.liveDone()
    if (this.json) {
      const { code, message, hint = null, details = null } = failure
      this.line(JSON.stringify({ schema: 1, error: { code, message, hint, details } }))
      return
    }
    this.#remark(`${failure.code}: ${failure.message}`)
    if (failure.hint !== undefined) this.#remark(`  hint: ${failure.hint}`)
  }

  #remark(text: string): void {
    process.stderr.write(`${severalLines(text)}\n`)
  }

  #write(text: string): void {
    this.#area?.clear()
    process.stdout.write(text)
  }
}

/** Waits until what was written has left for the reader: a pipe is written in the background. */
export async function flushStandardStreams(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.destroyed) await new Promise<void>(resolve => stream.write('', () => resolve()))
  }
}
