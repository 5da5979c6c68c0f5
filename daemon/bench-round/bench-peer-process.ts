// Entry of one benchmark peer's process: takes orders from its parent one at a time and ends with it.
import '../polyfill.ts'
import { BenchPeer } from './bench-peer.ts'
import type { PeerOrder, PeerReport } from './messages.ts'

let peer: BenchPeer | undefined

async function obey(order: PeerOrder): Promise<PeerReport> {
  if (order.type === 'open') {
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
