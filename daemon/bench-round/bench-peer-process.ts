// Entry of one benchmark peer's process: takes orders from its parent one at a time and ends with it.

// Node 20 lacks it and libp2p 3 calls it while it loads; so the peer itself is imported afterwards. (cli/polyfill.ts does this for commands; a daemon's process may not reach there.)
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

type BenchPeer = import('./bench-peer.ts').BenchPeer
type PeerOrder = import('./messages.ts').PeerOrder
type PeerReport = import('./messages.ts').PeerReport

let peer: BenchPeer | undefined

async function obey(order: PeerOrder): Promise<PeerReport> {
  if (order.type === 'open') {
    const { BenchPeer } = await import('./bench-peer.ts')
    peer = await BenchPeer.open(order)
    return { type: 'open', peer: peer.peer, address: peer.address }
  }
  if (peer === undefined) throw new Error('the peer is not open')
  switch (order.type) {
    case 'meet':
      await peer.meet(order.addresses)
      return { type: 'meet' }
    case 'prepare':
      await peer.prepare(order.round, order.codec)
      return { type: 'prepare' }
    case 'go':
      return { type: 'go', outcome: await peer.go() }
    case 'measure':
      return { type: 'measure', maxAbsError: await peer.measure(order.round) }
    default:
      return order satisfies never
  }
}

process.on('message', (order: PeerOrder) => {
  obey(order)
    .catch(
      (error: unknown): PeerReport => ({ type: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    )
    .then(report => process.send?.(report))
    .catch(() => process.exit(1))
})
process.on('disconnect', () => process.exit(0))

export {}
