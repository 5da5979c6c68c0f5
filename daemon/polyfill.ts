// What Node 20 lacks or does wrong; whatever starts a process with libp2p in it imports this before anything else.

// Called by libp2p 3.
if (Promise.withResolvers === undefined) {
  Promise.withResolvers = function withResolvers<T>() {
    let resolve!: (value: T | PromiseLike<T>) => void
    let reject!: (reason?: unknown) => void
    const promise = new Promise<T>((accept, refuse) => {
      resolve = accept
      reject = refuse
    })
    return { promise, resolve, reject }
  }
}

// The garbage collector takes an AbortSignal.timeout() that only an AbortSignal.any() refers to, and then it never fires: a time limit that was combined with
// a stop signal, here or in a library, would be none. Each is held on to until its time has come.
const timeouts = new Set<AbortSignal>()
const makeTimeout = AbortSignal.timeout.bind(AbortSignal)
AbortSignal.timeout = function timeout(milliseconds: number): AbortSignal {
  const signal = makeTimeout(milliseconds)
  timeouts.add(signal)
  signal.addEventListener('abort', () => timeouts.delete(signal), { once: true })
  return signal
}
