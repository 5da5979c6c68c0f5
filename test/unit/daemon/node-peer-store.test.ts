import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { boundAddresses, MAX_ADDRESSES, MAX_PEERS } from '../../../daemon/node-peer-store.ts'

const many = (count: number, port = 1) => Array.from({ length: count }, (_, n) => multiaddr(`/ip4/10.0.${n >> 8}.${n & 255}/tcp/${port}`))

describe('the addresses of a peer', () => {
  const open = async () => {
    const { peerStore, peerId } = await createLibp2p({ start: false })
    boundAddresses(peerStore, peerId)
    const peer = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const addresses = async () => (await peerStore.get(peer)).addresses.map(({ multiaddr }) => multiaddr.toString())
    return { peerStore, self: peerId, peer, addresses }
  }

  it('are bounded, whichever way they come', async () => {
    const { peerStore, peer, addresses } = await open()
    for (const way of ['save', 'patch', 'merge'] as const) {
      for (let port = 1; port <= 3; port++) {
        const signed = many(1_000, port).map(address => ({ multiaddr: address, isCertified: true }))
        await peerStore[way](peer, { addresses: signed, multiaddrs: many(1_000, port + 100) })
      }
      const { length } = await addresses()
      assert.ok(length > 0 && length <= MAX_ADDRESSES, `${way}: ${length}`)
    }
    await peerStore.patch(peer, { multiaddrs: [multiaddr(`/unix/${'x'.repeat(1_000)}`)] })
    assert.deepEqual(await addresses(), [])
  })

  it('are those that it signed, and of those that others name the last', async () => {
    const { peerStore, peer, addresses } = await open()
    await peerStore.merge(peer, { multiaddrs: [multiaddr('/ip4/10.9.9.9/tcp/9')] })
    await peerStore.patch(peer, { addresses: [{ multiaddr: multiaddr('/ip4/10.1.1.1/tcp/1'), isCertified: true }], protocols: ['/a'] })
    await peerStore.merge(peer, { multiaddrs: many(1_000) })
    await peerStore.merge(peer, { multiaddrs: [multiaddr('/ip4/10.2.2.2/tcp/2')], protocols: ['/b'] })
    assert.deepEqual(await addresses(), ['/ip4/10.1.1.1/tcp/1', '/ip4/10.2.2.2/tcp/2'])
    await peerStore.merge(peer, { tags: { kept: { value: 1 } }, multiaddrs: [] })
    await peerStore.patch(peer, { metadata: {} })
    assert.deepEqual(await addresses(), ['/ip4/10.1.1.1/tcp/1', '/ip4/10.2.2.2/tcp/2'])
    assert.deepEqual((await peerStore.get(peer)).protocols, ['/a', '/b'])
  })

  it('are many that others name until it signed some, one of which may be the one that leads to it', async () => {
    const { peerStore, peer, addresses } = await open()
    const reachable = multiaddr('/ip4/192.168.1.5/tcp/4101')
    await peerStore.merge(peer, { multiaddrs: [...many(20), reachable] })
    assert.ok((await addresses()).includes(reachable.toString()))
    await peerStore.patch(peer, { addresses: many(16, 2).map(address => ({ multiaddr: address, isCertified: true })) })
    await peerStore.merge(peer, { multiaddrs: many(1_000, 3) })
    const held = await addresses()
    assert.deepEqual(
      [2, 3].map(port => held.filter(address => address.endsWith(`/tcp/${port}`)).length),
      [16, 8]
    )
  })

  it('are all of our own', async () => {
    const { peerStore, self } = await open()
    await peerStore.patch(self, { multiaddrs: many(40) })
    assert.equal((await peerStore.get(self)).addresses.length, 40)
  })
})

describe('the peers that are known', () => {
  it('are bounded, and those written longest ago go', async () => {
    const { peerStore, peerId } = await createLibp2p({ start: false })
    boundAddresses(peerStore, peerId)
    await peerStore.merge(peerId, { multiaddrs: many(1) })
    const connected = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    let gone = peerId
    for (let n = 0; n < MAX_PEERS + 5; n++) {
      const peer = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
      await peerStore.merge(peer, { multiaddrs: many(1) })
      if (n === 0) gone = peer
      if (n % 100 === 0) await peerStore.patch(connected, { protocols: ['/a'] })
    }
    assert.equal((await peerStore.all()).length, MAX_PEERS)
    assert.ok(!(await peerStore.has(gone)))
    assert.ok((await peerStore.has(connected)) && (await peerStore.has(peerId)))
  })
})
