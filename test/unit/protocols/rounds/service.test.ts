import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import * as dagCbor from '@ipld/dag-cbor'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { GossipRates } from '../../../../protocols/gossip-rates.ts'
import { encodeRoundsMessage, type RoundsMessage } from '../../../../protocols/rounds/gossip-messages.ts'
import { type Contribution, type RoundRecord, signContribution, signRecord } from '../../../../protocols/rounds/index.ts'
import { RoundsGossip } from '../../../../protocols/rounds/service.ts'
import type { SignedBlock } from '../../../../protocols/signed-block.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'

const cid = (n: number): string => cidOf(dagCbor.encode(n), DAG_CBOR)
const RUN = cid(1)
const TOPIC = `/shoal/n/rounds/1/${RUN}`

describe('RoundsGossip', () => {
  let signed: SignedBlock
  let record: SignedBlock
  let otherRun: SignedBlock
  before(async () => {
    const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(3))
    const peer = peerIdFromPrivateKey(key).toString()
    const contribution: Contribution = {
      run: RUN,
      round: 1,
      parent: RUN,
      peer,
      tokens: 10,
      steps: 2,
      loss: 1,
      codec: 'f32',
      norm: 1,
      body: cid(5)
    }
    const roundRecord: RoundRecord = { run: RUN, round: 1, parent: RUN, contributions: [cid(6)], anchor: cid(7), closer: peer }
    signed = await signContribution(contribution, key)
    record = await signRecord(roundRecord, key)
    otherRun = await signContribution({ ...contribution, run: cid(2) }, key)
  })

  function pair() {
    const network = new MemoryNetwork()
    const [a, b] = [network.node('a'), network.node('b')]
    const speaker = new RoundsGossip({ node: a }, { network: 'n', run: RUN })
    const hearer = new RoundsGossip({ node: b }, { network: 'n', run: RUN })
    const heard: unknown[][] = []
    // Nothing is news twice.
    const hear = (...what: unknown[]): boolean => {
      heard.push(what)
      return !heard.slice(0, -1).some(before => isDeepStrictEqual(before, what))
    }
    hearer.start({
      onContribution: (name, bytes, { peer }, from) =>
        hear('contribution', name, Buffer.from(bytes).equals(signed.bytes), peer.slice(0, 8), from),
      onRecord: (name, bytes, { round }, from) => hear('record', name, Buffer.from(bytes).equals(record.bytes), round, from),
      onHolding: (from, cids) => hear('holding', from, cids.length)
    })
    return { a, b, speaker, hearer, heard }
  }

  it('hands over contributions, records and holdings, checked', async () => {
    const { speaker, heard } = pair()
    await speaker.publishContribution(signed.bytes)
    await speaker.publishRecord(record.bytes)
    await speaker.publishHolding(Array.from({ length: 600 }, (_, n) => cid(n)))
    await speaker.publishHolding([])
    assert.deepEqual(heard, [
      ['contribution', signed.cid, true, '12D3KooW', 'a'],
      ['record', record.cid, true, 1, 'a'],
      ['holding', 'a', 512],
      ['holding', 'a', 88]
    ])
  })

  it('refuses forged, foreign and senseless messages', async () => {
    const { a, b, speaker, heard } = pair()
    const forged = signed.bytes.slice()
    forged[forged.length - 1]! ^= 1
    await speaker.publishContribution(forged)
    await speaker.publishContribution(otherRun.bytes)
    await speaker.publishRecord(signed.bytes)
    for (const bytes of [[], [9], [3, 1], [1]]) await a.publish(TOPIC, new Uint8Array(bytes))
    assert.deepEqual(heard, [])
    assert.deepEqual(
      b.refused.map(({ code }) => code),
      ['bad_signature', 'wrong_run', ...Array(5).fill('bad_message')]
    )
  })

  it('passes on what is news only, and has nobody pay for what others say again in their name', async () => {
    const { b } = pair()
    const rates = new GossipRates(() => null)
    const said: RoundsMessage[] = [
      { kind: 'contribution', block: signed.bytes },
      { kind: 'record', block: record.bytes },
      { kind: 'holding', contributions: [signed.cid] }
    ]
    for (const [n, verdict] of ['accept', ...Array(500).fill('ignore')].entries()) {
      for (const message of said) {
        const bytes = encodeRoundsMessage(message)
        assert.equal(rates.bring({ peer: 'replayer', strangerAt: null }, bytes.length, n), null)
        assert.ok(rates.mayBeSaid('member', bytes.length, n))
        const heard = await b.receive(TOPIC, bytes, 'member')
        assert.equal(heard, verdict)
        if (heard === 'accept') rates.wasNews('member', bytes.length, n)
      }
    }
    assert.ok(rates.mayBeSaid('member', 300, 500))
  })

  it('hears nothing once stopped', async () => {
    const { speaker, hearer, heard } = pair()
    hearer.stop()
    await speaker.publishContribution(signed.bytes)
    assert.deepEqual(heard, [])
  })
})
