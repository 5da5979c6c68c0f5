import assert from 'node:assert/strict'
import type { Stream } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { boundMessages } from '../../../daemon/node-dht.ts'

describe('an answer of the DHT', () => {
  it('names no more peers than an honest node does, whatever it holds', async () => {
    const named = (count: number) => Array.from({ length: count }, (_, n) => ({ id: n }))
    const answered = { type: 'FIND_NODE', closer: named(2_700), providers: named(21) }
    const network = { _writeReadMessage: async (_: unknown) => answered }
    boundMessages({ rpc: { onIncomingStream: async () => {} }, network } as unknown as KadDHT)
    const stream = new EventTarget() as unknown as Stream
    assert.deepEqual(await network._writeReadMessage(stream), { ...answered, closer: named(20), providers: named(20) })
  })
})
