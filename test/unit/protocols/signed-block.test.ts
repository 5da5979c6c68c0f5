import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { cidOf, DAG_CBOR } from '../../../protocols/cids.ts'
import { openBlock, SIGNED_BLOCKS, signBlock } from '../../../protocols/signed-block.ts'

const keyOf = (seed: number): Promise<PrivateKey> => generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seed))
const peerOf = (key: PrivateKey): string => peerIdFromPrivateKey(key).toString()

describe('signed blocks', () => {
  let alice: PrivateKey
  let bob: PrivateKey
  let payload: Uint8Array
  before(async () => {
    alice = await keyOf(1)
    bob = await keyOf(2)
    payload = dagCbor.encode({ author: peerOf(alice), note: 'what I say' })
  })

  it('openBlock() gives back what signBlock() signed, and names it by its hash', async () => {
    const block = await signBlock('shoal/manifest/1', payload, alice)
    const opened = await openBlock('shoal/manifest/1', block.bytes)
    assert.deepEqual(opened, { cid: block.cid, peer: peerOf(alice), payload })
    assert.equal(block.cid, cidOf(block.bytes, DAG_CBOR))
  })

  it('signBlock() refuses to sign for another peer', async () => {
    await assert.rejects(signBlock('shoal/manifest/1', payload, bob), { code: 'wrong_signer' })
  })

  it('openBlock() refuses a signature made for another domain', async () => {
    const both = dagCbor.encode({ author: peerOf(alice), closer: peerOf(alice) })
    const block = await signBlock('shoal/manifest/1', both, alice)
    await assert.rejects(openBlock('shoal/record/1', block.bytes), { code: 'bad_signature' })
  })

  it('openBlock() refuses every single changed byte', async () => {
    const { bytes } = await signBlock('shoal/manifest/1', payload, alice)
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice()
      changed[at]! ^= 1
      await assert.rejects(openBlock('shoal/manifest/1', changed), (error: { code?: string }) =>
        ['bad_message', 'bad_signature'].includes(error.code ?? '')
      )
    }
  })

  it('openBlock() refuses a payload in another than the canonical form', async () => {
    // { "author": ..., } with the map's length written in two bytes instead of one
    const canonical = dagCbor.encode({ author: peerOf(alice) })
    const loose = new Uint8Array([0xb8, 1, ...canonical.subarray(1)])
    const signature = await alice.sign(Uint8Array.from([...new TextEncoder().encode('shoal/manifest/1'), 0, ...loose]))
    await assert.rejects(openBlock('shoal/manifest/1', dagCbor.encode({ payload: loose, signature })), { code: 'bad_message' })
  })

  it('openBlock() refuses extra fields, other kinds of value and other kinds of peer', async () => {
    const block = dagCbor.decode((await signBlock('shoal/manifest/1', payload, alice)).bytes) as object
    const others: unknown[] = [
      { ...block, more: 1 },
      [1],
      'text',
      null,
      { payload: 'x', signature: 'y' },
      { payload: dagCbor.encode({ author: 'QmNobody' }), signature: new Uint8Array(64) }
    ]
    for (const other of others) await assert.rejects(openBlock('shoal/manifest/1', dagCbor.encode(other)), { code: 'bad_message' })
    await assert.rejects(openBlock('shoal/manifest/1', new Uint8Array()), { code: 'bad_message' })
  })

  it('openBlock() refuses too many bytes before it decodes them', async () => {
    const bytes = new Uint8Array(SIGNED_BLOCKS['shoal/contribution/1'].maxBytes + 1)
    await assert.rejects(openBlock('shoal/contribution/1', bytes), { code: 'message_too_large' })
  })
})
