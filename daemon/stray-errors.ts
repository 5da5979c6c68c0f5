// Errors that no caller waits for. libp2p throws some while streams close under load; those are logged, anything else ends the daemon cleanly.

export interface StrayErrorComponents {
  logger: { warn(facts: object, message: string): void; error(facts: object, message: string): void }
  /** Ends the daemon: its state may be wrong, and what is on disk is not. */
  onFatal(error: unknown): void
}

/** By name: what js-libp2p throws outside of any call when a stream or connection goes away (issue 3415 there), and aborts that came too late to matter. */
const HARMLESS = new Set([
  'StreamStateError',
  'StreamResetError',
  'StreamClosedError',
  'StreamAbortedError',
  'MuxerClosedError',
  'ConnectionClosedError',
  'ConnectionClosingError',
  'UnexpectedEOFError',
  'InvalidStateError',
  'NotStartedError',
  'AbortError',
  'TimeoutError'
])
const HARMLESS_CODES = new Set(['EPIPE', 'ECONNRESET'])

/** True for an error that says only that a peer or a stream went away. */
export function isHarmless(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return HARMLESS.has(error.name) || HARMLESS_CODES.has((error as NodeJS.ErrnoException).code ?? '')
}

/** Catches what nobody waits for, in this process; the answer stops that. */
export function catchStrayErrors({ logger, onFatal }: StrayErrorComponents): () => void {
  const caught = (error: unknown) => {
    if (isHarmless(error)) logger.warn({ err: error }, 'a stream or connection went away while nobody waited for it')
    else {
      logger.error({ err: error, stack: (error as Error | undefined)?.stack }, 'an error that nobody expected')
      onFatal(error)
    }
  }
  // A promise that nobody looked at has done no harm by itself; what it did not do shows elsewhere.
  const rejected = (error: unknown) => {
    if (isHarmless(error)) logger.warn({ err: error }, 'a stream or connection went away while nobody waited for it')
    else logger.error({ err: error, stack: (error as Error | undefined)?.stack }, 'a promise failed and nobody looked')
  }
  process.on('uncaughtException', caught)
  process.on('unhandledRejection', rejected)
  return () => {
    process.off('uncaughtException', caught)
    process.off('unhandledRejection', rejected)
  }
}
