// What Node 20 lacks or does wrong; every command, and whatever else starts a process with libp2p or a time limit in it, imports this before anything else.

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

// Small buffers share slabs that stay as long as any of them, 8 KiB each: after an hour of peers that came and went the ids and addresses that libp2p keeps held
// 1.4 MB in 170 slabs, and more with every peer. A buffer that gets none costs some tenths of a microsecond more.
Buffer.poolSize = 1024

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

// A signal remembers for ever what AbortSignal.any() made of it, long after that is gone (nodejs/node#54614): a daemon that joins each request's time limit
// with its stop signal grows with every request. What is gone is looked for when the garbage collector has found some of it.
const probe = new AbortController().signal
const symbolOf = (signal: AbortSignal, name: string): symbol | undefined =>
  Object.getOwnPropertySymbols(signal).find(({ description }) => description === name)
const sourcesOf = symbolOf(AbortSignal.any([probe]), 'kSourceSignals')
const dependants = symbolOf(probe, 'kDependantSignals')
if (sourcesOf !== undefined && dependants !== undefined) {
  const makeAny = AbortSignal.any.bind(AbortSignal)
  const unswept = new Set<AbortSignal>()
  const sweep = (): void => {
    for (const signal of unswept) {
      const made = (signal as unknown as { [key: symbol]: Set<WeakRef<AbortSignal>> | undefined })[dependants]
      for (const each of made ?? []) if (each.deref() === undefined) made!.delete(each)
    }
    unswept.clear()
  }
  const registry = new FinalizationRegistry<WeakRef<AbortSignal>[]>(sources => {
    if (unswept.size === 0) setImmediate(sweep)
    for (const source of sources) {
      const signal = source.deref()
      if (signal !== undefined) unswept.add(signal)
    }
  })
  AbortSignal.any = function any(signals: Iterable<AbortSignal>): AbortSignal {
    const signal = makeAny([...signals])
    // Of what was joined before, Node remembers the signals that it was joined of.
    const sources = (signal as unknown as { [key: symbol]: Set<WeakRef<AbortSignal>> | undefined })[sourcesOf]
    registry.register(signal, [...(sources ?? [])])
    return signal
  }
}
