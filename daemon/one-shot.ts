// A process that is asked one thing, answers and ends: for work that loads a tensor library or may run out of memory, neither of which the daemon must do.
import { fork } from 'node:child_process'
import { type CodedError, DaemonError, type DaemonErrorCode, isCodedError, reasonOf } from './errors.ts'

type Answer<Reply> = { reply: Reply } | { error: CodedError }

/** Forks `entry`, asks it, and gives its answer; its error is made again here. Killed when `signal` fires. */
export function askProcess<Request extends object, Reply>(
  entry: URL,
  request: Request,
  { signal }: { signal?: AbortSignal } = {}
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    // One that has fired tells no listener any more.
    signal?.throwIfAborted()
    // Not JSON, which makes null of NaN and the infinities: numbers arrive as they are.
    const child = fork(entry, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' })
    const stop = () => child.kill('SIGKILL')
    signal?.addEventListener('abort', stop, { once: true })
    child.once('message', message => {
      const answer = message as Answer<Reply>
      if ('reply' in answer) return resolve(answer.reply)
      const { code, message: text, hint, details } = answer.error
      const known = {
        ...(hint === undefined ? {} : { hint }),
        ...(details === undefined ? {} : { details: details as Record<string, unknown> })
      }
      // Codes of every room cross here; the daemon passes them on unchanged.
      reject(new DaemonError(code as DaemonErrorCode, text, known))
    })
    child.once('error', reject)
    child.once('exit', (code, killedBy) => {
      signal?.removeEventListener('abort', stop)
      reject(signal?.reason ?? new DaemonError('internal', `A helper process ended without an answer (${killedBy ?? `exit code ${code}`})`))
    })
    child.send(request)
  })
}

/** The other side: answers the one request that comes, then ends the process. */
export function answerOnce<Request, Reply>(answer: (request: Request) => Promise<Reply>): void {
  process.once('disconnect', () => process.exit(0))
  process.once('message', request => {
    answer(request as Request)
      .then((reply): Answer<Reply> => ({ reply }))
      .catch((error: unknown): Answer<Reply> => ({ error: factsOf(error) }))
      .then(result => process.send?.(result, undefined, undefined, () => process.disconnect()))
      .catch(() => process.exit(1))
  })
}

function factsOf(error: unknown): CodedError {
  if (!isCodedError(error)) return { code: 'internal', message: reasonOf(error) }
  const { code, message, hint, details } = error
  return { code, message, ...(hint === undefined ? {} : { hint }), ...(details === undefined ? {} : { details }) }
}
