import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { EventLog } from '../../../../daemon/events.ts'
import { peerOf } from '../../../../daemon/identity.ts'
import type { Manifest } from '../../../../daemon/manifest.ts'
import { Admittance, type GrantRow } from '../../../../daemon/run/admittance.ts'
import { type Grant, signGrant } from '../../../../protocols/admission/index.ts'
import { CBOR_CODEC, cidOf, openStore, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'
import { MemoryTable } from '../memory-table.ts'

const RUN = cidOf(Buffer.from('run'), CBOR_CODEC)

describe('Admittance', () => {
  const home = temporaryHome()
  let store: Store
  beforeEach(async () => {
    store = await openStore(home())
  })
  afterEach(() => store.close())

  it('uses a kept grant of its own only: one of another identity, run or inviter is asked for anew', async () => {
    const [own, before, stranger, key] = await Promise.all([0, 1, 2, 3].map(() => generateKeyPair('Ed25519')))
    const [self, inviter] = [peerOf(own!), peerOf(key!)]
    const events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
    const ours: Grant = { run: RUN, peer: self, inviter, untilRound: 100 }
    const manifest = { admission: { invitation: { inviters: [inviter], grantRounds: 256 } } } as unknown as Manifest // all that is read of it
    const fresh = await signGrant({ ...ours, untilRound: 50 }, key!)
    const cases = [
      { held: await signGrant(ours, key!), asks: 0 },
      { held: await signGrant({ ...ours, peer: peerOf(before!) }, key!), asks: 1 },
      { held: await signGrant({ ...ours, run: cidOf(Buffer.from('another'), CBOR_CODEC) }, key!), asks: 1 },
      { held: await signGrant({ ...ours, inviter: peerOf(stranger!) }, stranger!), asks: 1 }
    ]
    for (const { held, asks } of cases) {
      const row: GrantRow = { grant: Buffer.from(held.bytes).toString('base64'), invitation: null, name: null }
      await store.records.table<GrantRow>('grants').put(RUN, row, { sync: true })
      const shown: (Uint8Array | null)[] = []
      const admittance = await Admittance.open(
        {
          ...{ run: RUN, self, manifest, store, events },
          ask: async (_, request) => {
            shown.push(request.say === 'admit' ? request.grant : null)
            return { is: 'granted', grant: fresh.bytes }
          },
          connect: async () => inviter,
          isConnected: () => true
        },
        new AbortController().signal
      )
      assert.deepEqual(shown, Array(asks).fill(null))
      assert.equal(admittance.grantFor(1)?.peer, self)
      assert.equal(admittance.grantFor(1)?.untilRound, asks === 0 ? 100 : 50)
      await admittance.stop()
    }
  })

  it('keeps the grant that it holds where an inviter is behind, and asks the next', async () => {
    const [own, behind, ahead] = await Promise.all([0, 1, 2].map(() => generateKeyPair('Ed25519')))
    const [self, first, second] = [peerOf(own!), peerOf(behind!), peerOf(ahead!)]
    const events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
    const manifest = { admission: { invitation: { inviters: [first, second], grantRounds: 256 } } } as unknown as Manifest // all that is read of it
    const sign = (inviter: string, untilRound: number) =>
      signGrant({ run: RUN, peer: self, inviter, untilRound }, inviter === first ? behind! : ahead!)
    const row: GrantRow = { grant: Buffer.from((await sign(first, 300)).bytes).toString('base64'), invitation: null, name: null }
    await store.records.table<GrantRow>('grants').put(RUN, row, { sync: true })
    const asked: string[] = []
    const grants = new Map([
      [first, (await sign(first, 192)).bytes],
      [second, (await sign(second, 392)).bytes]
    ])
    const admittance = await Admittance.open(
      {
        ...{ run: RUN, self, manifest, store, events },
        ask: async inviter => {
          asked.push(inviter)
          return { is: 'granted', grant: grants.get(inviter)! }
        },
        connect: async address => address,
        isConnected: () => true
      },
      new AbortController().signal
    )
    const renewed = new Promise<void>(resolve => {
      admittance.onRenewed = resolve
    })
    admittance.headMoved(200)
    await renewed
    assert.deepEqual(asked, [first, second])
    assert.equal(admittance.grantFor(201)?.untilRound, 392)
    await admittance.stop()
  })
})
