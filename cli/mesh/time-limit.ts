// A time limit that is sure to come. Node 20 lets the garbage collector take an `AbortSignal.timeout()` that only an `AbortSignal.any()` refers to, and then
// it never fires; a timer of our own holds on to its controller.

export interface TimeLimit {
  /** Aborted when the time is over, with a DOMException `TimeoutError` as reason, or when one of the others is, with its reason. */
  signal: AbortSignal
  /** Gives the time up; the signal stays as it is. */
  close(): void
}

/** @param milliseconds from now. */
export function timeLimit(milliseconds: number, others: AbortSignal[] = []): TimeLimit {
  const controller = new AbortController()
  const over = (): void => controller.abort(new DOMException(`the ${milliseconds} ms are over`, 'TimeoutError'))
  const timer = setTimeout(over, milliseconds)
  return { signal: AbortSignal.any([...others, controller.signal]), close: () => clearTimeout(timer) }
}
