import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { toString as textOf } from 'uint8arrays/to-string'
import { signGrant } from '../../../../protocols/admission/index.ts'
import { cidOf as cidOfBytes, DAG_CBOR } from '../../../../protocols/cids.ts'
import { MAX_CONTRIBUTIONS_PER_RECORD } from '../../../../protocols/rounds/constants.ts'
import {
  type Contribution,
  decodeContribution,
  decodeRecord,
  encodeContribution,
  encodeRecord,
  openContribution,
  openRecord,
  type RoundRecord,
  signContribution,
  signRecord
} from '../../../../protocols/rounds/index.ts'
import { SIGNED_BLOCKS } from '../../../../protocols/signed-block.ts'

const cidOf = (n: number): string => cidOfBytes(dagCbor.encode(n), DAG_CBOR)

describe('messages of rounds', () => {
  let key: PrivateKey
  let contribution: Contribution
  let record: RoundRecord
  before(async () => {
    key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
    const peer = peerIdFromPrivateKey(key).toString()
    contribution = {
      run: cidOf(1),
      round: 3,
      parent: cidOf(2),
      peer,
      tokens: 51_200,
      steps: 50,
      loss: 2.25,
      codec: 'int8',
      norm: 0.125,
      body: cidOf(3)
    }
    record = { run: cidOf(1), round: 3, parent: cidOf(2), contributions: [cidOf(4), cidOf(5)], anchor: cidOf(6), closer: peer }
  })

  it('a contribution keeps its bytes', async () => {
    const block = await signContribution(contribution, key)
    assert.equal(block.cid, GOLDEN.contributionCid)
    assert.equal(textOf(encodeContribution(contribution), 'base16'), GOLDEN.contribution)
  })

  it('a contribution carries a grant, whose signature is verified with its own', async () => {
    const grant = await signGrant({ run: cidOf(1), peer: contribution.peer, inviter: contribution.peer, untilRound: 9 }, key)
    const block = await signContribution({ ...contribution, grant }, key)
    assert.deepEqual(await openContribution(block.bytes), { cid: block.cid, contribution: { ...contribution, grant } })
    const forged = { ...grant, bytes: grant.bytes.slice() }
    forged.bytes[forged.bytes.length - 1]! ^= 1
    await assert.rejects(openContribution((await signContribution({ ...contribution, grant: forged }, key)).bytes), {
      code: 'bad_signature'
    })
    for (const bytes of [new Uint8Array(3), new Uint8Array(600)])
      await assert.rejects(signContribution({ ...contribution, grant: { ...grant, bytes } }, key), /grant/)
  })

  it('a record keeps its bytes', async () => {
    const block = await signRecord(record, key)
    assert.equal(block.cid, GOLDEN.recordCid)
    assert.equal(textOf(encodeRecord(record), 'base16'), GOLDEN.record)
  })

  it('open gives back what sign took', async () => {
    const c = await signContribution(contribution, key)
    assert.deepEqual(await openContribution(c.bytes), { cid: c.cid, contribution })
    const r = await signRecord(record, key)
    assert.deepEqual(await openRecord(r.bytes), { cid: r.cid, record })
  })

  it('the largest record fits the gossip message', async () => {
    const contributions = Array.from({ length: MAX_CONTRIBUTIONS_PER_RECORD }, (_, n) => cidOf(n))
    const block = await signRecord({ ...record, contributions }, key)
    assert.ok(block.bytes.byteLength <= SIGNED_BLOCKS['shoal/record/1'].maxBytes, `${block.bytes.byteLength} bytes`)
    assert.equal((await openRecord(block.bytes)).record.contributions.length, MAX_CONTRIBUTIONS_PER_RECORD)
  })

  it('decodeContribution() refuses each field when it is missing, of another kind or out of bounds', () => {
    const good = dagCbor.decode(encodeContribution(contribution)) as { [field: string]: unknown }
    const wrong: { [field: string]: unknown[] } = {
      v: [0, 2, '1'],
      run: ['text', cidOf(1), 1],
      round: [0, -1, 1.5, 2 ** 40, '1'],
      parent: [null, [], CID.createV0(CID.parse(cidOf(1)).multihash as never)],
      peer: ['', 'someone', 12, contribution.peer + ' ', contribution.peer.slice(0, -1)],
      tokens: [0, -5, 1.5],
      steps: [0, 0.5],
      loss: ['2', null],
      codec: ['', 'a'.repeat(65), 'Int8', '../x', 8],
      norm: [-1, null],
      body: [new Uint8Array(3)]
    }
    for (const [field, values] of Object.entries(wrong)) {
      const { [field]: _, ...without } = good
      for (const value of [without, ...values.map(value => ({ ...good, [field]: value }))]) {
        assert.throws(() => decodeContribution(dagCbor.encode(value)), { code: 'bad_message' }, field)
      }
    }
  })

  it('decodeRecord() refuses empty, endless and repeating lists', () => {
    const one = cidOf(1)
    const endless = Array.from({ length: MAX_CONTRIBUTIONS_PER_RECORD + 1 }, (_, n) => cidOf(n))
    for (const contributions of [[], [one, one], endless]) {
      assert.throws(() => decodeRecord(encodeRecord({ ...record, contributions })), { code: 'bad_message' })
    }
  })

  it('unknown fields are ignored', () => {
    const more = { ...(dagCbor.decode(encodeRecord(record)) as object), remark: 'from a later version' }
    assert.deepEqual(decodeRecord(dagCbor.encode(more)), record)
  })
})

const GOLDEN = {
  contributionCid: 'bafyreibp2zkbhpmjoqy5hgmquxnlcoi2xssg4ps6daskrzgfhdp2l52234',
  contribution:
    'ab6176016372756ed82a582500017112204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a64626f6479d82a58250001711220084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5646c6f7373fb4002000000000000646e6f726dfb3fc000000000000064706565727834313244334b6f6f5752617750627850745031655a614a70756d476e7957583244635579643352516e796472336541746f34417a3765636f64656364696e743865726f756e6403657374657073183266706172656e74d82a58250001711220dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d98666746f6b656e7319c800',
  recordCid: 'bafyreignhx3dctdu2jdued2u4jqvp4ufx34rc7hxvylcw5k6plbh453gey',
  record:
    'a76176016372756ed82a582500017112204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a65726f756e640366616e63686f72d82a5825000171122067586e98fad27da0b9968bc039a1ef34c939b9b8e523a8bef89d478608c5ecf666636c6f7365727834313244334b6f6f5752617750627850745031655a614a70756d476e7957583244635579643352516e796472336541746f34417a3766706172656e74d82a58250001711220dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d9866d636f6e747269627574696f6e7382d82a58250001711220e52d9c508c502347344d8c07ad91cbd6068afc75ff6292f062a09ca381c89e71d82a58250001711220e77b9a9ae9e30b0dbdb6f510a264ef9de781501d7b6b92ae89eb059c5ab743db'
}
