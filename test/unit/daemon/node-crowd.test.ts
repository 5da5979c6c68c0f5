import assert from 'node:assert/strict'
import { crowdOf, isCrowded, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ORIGIN } from '../../../daemon/node-crowd.ts'

const from = (address: string, count: number, direction: 'inbound' | 'outbound' = 'inbound') =>
  Array.from({ length: count }, (_, n) => ({ direction, remoteAddr: `${address}/tcp/${n + 1}`, remotePeer: `${direction} ${n}` }))
const nobody = () => false

describe('the places for connections', () => {
  it('are taken by no origin beyond its part, those that it was called by aside', () => {
    const others = [...from('/ip4/203.0.113.7', MAX_CONNECTIONS_PER_ORIGIN - 1), ...from('/ip4/203.0.113.7', 50, 'outbound')]
    assert.equal(isCrowded('/ip4/203.0.113.7/tcp/9', others, nobody), false)
    const crowd = [...others, ...from('/ip4/203.0.113.7', 1), ...from('/ip6/2001:db8::1', MAX_CONNECTIONS_PER_ORIGIN)]
    assert.equal(isCrowded('/ip4/203.0.113.7/tcp/9', crowd, nobody), true)
    assert.equal(isCrowded('/ip6/2001:db8::ffff:2/tcp/9', crowd, nobody), true)
    assert.equal(isCrowded('/ip4/203.0.113.8/tcp/9', crowd, nobody), false)
  })

  it('are all for a mesh on this machine', () => {
    for (const loopback of ['/ip4/127.0.0.1', '/ip4/127.0.0.2', '/ip6/::1', '/ip6/::ffff:127.0.0.1'])
      assert.equal(isCrowded(`${loopback}/tcp/9`, from(loopback, 200), nobody), false)
  })

  it('are full when there is none left, and whoever has most is named', () => {
    const some = [...from('/ip4/203.0.113.7', 63), ...from('/ip4/203.0.113.8', 30), ...from('/ip4/203.0.113.9', 100, 'outbound')]
    assert.equal(crowdOf(some, nobody), null)
    const all = [...some, ...from('/ip4/203.0.113.8', MAX_CONNECTIONS - some.length)]
    assert.deepEqual(crowdOf(all, nobody), { isFull: true, connections: MAX_CONNECTIONS, origin: '203.0.113.8', ofOrigin: 93 })
  })

  it('are told of when one origin has its part, and none of them is taken by whom a run accepted', () => {
    const callers = from('/ip4/203.0.113.7', MAX_CONNECTIONS_PER_ORIGIN)
    const members = from('/ip4/203.0.113.7', 90, 'inbound').slice(MAX_CONNECTIONS_PER_ORIGIN)
    const isAccepted = (peer: string) => members.some(({ remotePeer }) => remotePeer === peer)
    const crowd = [...callers, ...members, ...from('/ip4/127.0.0.1', 98)]
    assert.deepEqual(crowdOf(crowd, isAccepted), { isFull: false, connections: crowd.length, origin: '203.0.113.7', ofOrigin: 64 })
    assert.equal(isCrowded('/ip4/203.0.113.7/tcp/9', crowd, isAccepted), true)
    const oneLess = crowd.slice(1)
    assert.equal(crowdOf(oneLess, isAccepted), null)
    assert.equal(isCrowded('/ip4/203.0.113.7/tcp/9', oneLess, isAccepted), false)
  })
})
