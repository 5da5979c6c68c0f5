// Errors on their way between threads: structured clone keeps neither class nor code, so both are written down and made again.
import { ProtocolError, type ProtocolErrorCode } from '../../protocols/errors.ts'
import { StorageError, type StorageErrorCode } from '../../storage/index.ts'
import { TrainingError, type TrainingErrorCode } from '../../training/errors.ts'
import { DaemonError, isCodedError, reasonOf } from '../errors.ts'
import type { CarriedError } from './calls.ts'

export function packError(error: unknown): CarriedError {
  const stack = error instanceof Error ? error.stack : undefined
  if (!isCodedError(error)) return { room: 'bug', code: 'internal', message: reasonOf(error), stack }
  const { code, message, hint, details } = error
  return { room: (error as unknown as Error).name, code, message, hint, details: details as Record<string, unknown> | undefined, stack }
}

/** The error in its own room's class, with the worker's stack as its cause. */
export function unpackError({ room, code, message, hint, details, stack }: CarriedError): Error {
  const options = { hint, details, cause: stack }
  switch (room) {
    case 'TrainingError':
      return new TrainingError(code as TrainingErrorCode, message, options)
    case 'StorageError':
      return new StorageError(code as StorageErrorCode, message, options)
    case 'ProtocolError':
      return new ProtocolError(code as ProtocolErrorCode, message, options)
    case 'DaemonError':
      return new DaemonError(code as DaemonError['code'], message, options)
    default:
      return new DaemonError('internal', `the arithmetic failed: ${message}`, options)
  }
}
