import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { cidOf, DAG_CBOR, parseCid } from '../../../../protocols/cids.ts'
import { signBlock } from '../../../../protocols/signed-block.ts'
import { type Opinion, OpinionsGossip, openOpinion, signOpinion } from '../../../../protocols/trust/index.ts'
import { decodeOpinion, encodeOpinion } from '../../../../protocols/trust/messages.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'

const RUN = cidOf(new Uint8Array([1]), DAG_CBOR)

describe('opinions', () => {
  let key: PrivateKey
  let opinion: Opinion
  before(async () => {
    key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
    const about = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(8))).toString()
    opinion = { run: RUN, peer: peerIdFromPrivateKey(key).toString(), about, round: 12, code: 'norm_mismatch' }
  })

  it('keep their bytes', async () => {
    const { bytes } = await signOpinion(opinion, key)
    assert.equal(Buffer.from(encodeOpinion(opinion)).toString('hex'), GOLDEN.opinion)
    assert.equal(cidOf(bytes, DAG_CBOR), GOLDEN.opinionCid)
    assert.deepEqual(await openOpinion(bytes), opinion)
  })

  it("are refused where a field is missing, wrong or out of bounds, or the signature is not the author's", async () => {
    const good = dagCbor.decode(encodeOpinion(opinion)) as Record<string, unknown>
    const wrong = {
      run: ['text', 7],
      peer: ['someone'],
      about: ['someone', null],
      round: [0, -1, 1.5, 2 ** 40],
      code: ['', 'Not So', 'a'.repeat(65)]
    }
    for (const [field, values] of Object.entries(wrong)) {
      const { [field]: _, ...without } = good
      for (const value of [without, ...values.map(value => ({ ...good, [field]: value }))])
        assert.throws(() => decodeOpinion(dagCbor.encode(value)), { code: 'bad_message' }, field)
    }
    assert.throws(() => decodeOpinion(dagCbor.encode({ ...good, v: 2 })), { code: 'version_mismatch' })
    const { bytes } = await signOpinion(opinion, key)
    const { signature } = dagCbor.decode(bytes) as { signature: Uint8Array }
    const other = dagCbor.encode({ payload: encodeOpinion({ ...opinion, round: 13 }), signature })
    await assert.rejects(openOpinion(other), { code: 'bad_signature' })
    const asGrant = await signBlock('shoal/grant/1', dagCbor.encode({ ...good, run: parseCid(RUN), inviter: opinion.peer }), key)
    await assert.rejects(openOpinion(asGrant.bytes), { code: 'bad_signature' })
    await assert.rejects(openOpinion(new Uint8Array(513)), { code: 'message_too_large' })
  })

  it('are heard from their authors only, and of their run', async () => {
    const network = new MemoryNetwork()
    const there = network.node('there')
    const heard: Opinion[] = []
    const gossip = new OpinionsGossip({ node: there }, { network: 'n', run: RUN })
    gossip.start(told => {
      heard.push(told)
      return told.round > 12
    })
    const topic = `/shoal/n/trust/1/${RUN}`
    const { bytes } = await signOpinion(opinion, key)
    const foreign = await signOpinion({ ...opinion, run: cidOf(new Uint8Array([2]), DAG_CBOR) }, key)
    await there.receive(topic, bytes, opinion.peer)
    await there.receive(topic, bytes, 'another')
    await there.receive(topic, foreign.bytes, opinion.peer)
    await there.receive(topic, new Uint8Array(3), opinion.peer)
    assert.deepEqual(heard, [opinion])
    assert.deepEqual(
      there.refused.map(({ code }) => code),
      ['bad_message', 'wrong_run', 'bad_message']
    )
  })
})

const GOLDEN = {
  opinion:
    'a66176016372756ed82a582500017112204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a64636f64656d6e6f726d5f6d69736d6174636864706565727834313244334b6f6f5752617750627850745031655a614a70756d476e7957583244635579643352516e796472336541746f34417a376561626f75747834313244334b6f6f5742387343475a437277723739487461624c416e3935717950517836525948586a4562694436514b6f7537777765726f756e640c',
  opinionCid: 'bafyreidgiiva22fgyyg4vordd5isk2lm3f66mcane334oswxlml4dmjkhm'
}
