import assert from 'node:assert/strict'
import { GOSSIP_RPC_BYTES, sendInBatches } from '../../../daemon/node-gossip.ts'
import { MAX_GOSSIP_BYTES } from '../../../protocols/frame-stream.ts'

interface Rpc {
  subscriptions: object[]
  messages: { data: Uint8Array }[]
  control?: object | undefined
}

describe('sendInBatches()', () => {
  let sent: Rpc[]
  let gossip: { sendRpc(peer: string, rpc: Rpc): boolean }
  beforeEach(() => {
    sent = []
    gossip = {
      sendRpc: (_, rpc) => {
        sent.push({ ...rpc })
        return true
      }
    }
    sendInBatches(gossip)
  })

  const piecesOf = (count: number, bytes: number) => Array.from({ length: count }, () => ({ data: new Uint8Array(bytes) }))

  it('sends in several messages what one may not hold, each piece once and in order, and what else there is to say once', () => {
    for (const messages of [piecesOf(100, MAX_GOSSIP_BYTES), piecesOf(5_000, 0), [...piecesOf(1, 10), ...piecesOf(1, GOSSIP_RPC_BYTES)]]) {
      sent.length = 0
      const control = { iwant: [] }
      assert.equal(gossip.sendRpc('peer', { subscriptions: [], messages: [...messages], control }), true)
      assert.deepEqual(
        sent.flatMap(rpc => rpc.messages),
        messages
      )
      assert.deepEqual(
        sent.map(rpc => rpc.control).filter(said => said !== undefined),
        [control]
      )
      for (const rpc of sent.filter(rpc => rpc.messages.length > 1))
        assert.ok(rpc.messages.reduce((sum, { data }) => sum + data.length + 300, 0) < GOSSIP_RPC_BYTES / 2)
      assert.ok(sent.length > 1)
    }
  })

  it('leaves what one may hold as it is', () => {
    for (const messages of [[], piecesOf(3, 1_000)]) {
      sent.length = 0
      gossip.sendRpc('peer', { subscriptions: [{ topic: 'a' }], messages })
      assert.deepEqual(sent, [{ subscriptions: [{ topic: 'a' }], messages }])
    }
  })
})
