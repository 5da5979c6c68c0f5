import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { EventLog } from '../../../../daemon/events.ts'
import { peerOf } from '../../../../daemon/identity.ts'
import type { Manifest } from '../../../../daemon/manifest.ts'
import { Admittance, type AdmittanceComponents, type GrantRow, keepInvitation } from '../../../../daemon/run/admittance.ts'
import { type AdmissionAnswer, type AdmissionRequest, type Grant, signGrant } from '../../../../protocols/admission/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { ProtocolError } from '../../../../protocols/errors.ts'
import { openStore, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'
import { MemoryTable } from '../memory-table.ts'

const RUN = cidOf(Buffer.from('run'), DAG_CBOR)

/** Lots, each better than the one before. */
function lotsOf(count: number): () => number {
  let drawn = 0
  return () => drawn++ / count
}

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
      { held: await signGrant({ ...ours, run: cidOf(Buffer.from('another'), DAG_CBOR) }, key!), asks: 1 },
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
          isConnected: () => true,
          isPresent: () => true
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
        isConnected: () => true,
        isPresent: () => true
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

  describe('whose grant reaches too far ahead for its head', () => {
    const untilRounds = new Map<string, number>()
    let inviters: string[]
    let asked: string[]
    let told: string[]
    let admittance: Admittance
    beforeEach(async () => {
      const [own, ...keys] = await Promise.all([0, 1, 2].map(() => generateKeyPair('Ed25519')))
      const self = peerOf(own!)
      inviters = keys.map(peerOf)
      const sign = async (inviter: string) => {
        const grant: Grant = { run: RUN, peer: self, inviter, untilRound: untilRounds.get(inviter)! }
        return (await signGrant(grant, keys[inviters.indexOf(inviter)]!)).bytes
      }
      for (const inviter of inviters) untilRounds.set(inviter, 592)
      asked = []
      told = []
      const events = { emit: ({ message }: { message: string }) => told.push(message) } as unknown as EventLog // all that is asked of it
      const manifest = { admission: { invitation: { inviters, grantRounds: 256 } } } as unknown as Manifest // all that is read of it
      const ask = async (inviter: string): Promise<AdmissionAnswer> => {
        asked.push(inviter)
        if (!untilRounds.has(inviter)) throw new ProtocolError('peer_unreachable', 'gone')
        return { is: 'granted', grant: await sign(inviter) }
      }
      admittance = await Admittance.open(
        {
          ...{ run: RUN, self, manifest, store, events, ask },
          ...{ connect: async address => address, isConnected: () => true, isPresent: () => true }
        },
        new AbortController().signal
      )
      asked = []
    })
    afterEach(() => admittance.stop())

    /** What is kept of it. */
    const kept = async () => (await store.records.table<GrantRow>('grants').get(RUN))!.grant
    const renewed = () =>
      new Promise<void>(resolve => {
        admittance.onRenewed = resolve
      })
    const bothAsked = async () => {
      while (asked.length < 2) await new Promise(setImmediate)
    }

    it('gets one that holds, from whichever inviter is on its branch', async () => {
      // The first is on the branch that lost still.
      untilRounds.set(inviters[0]!, 600).set(inviters[1]!, 342)
      assert.equal(admittance.grantFor(151), undefined)
      assert.equal(admittance.reason(151), 'admitted from round 336 on')
      const comes = renewed()
      admittance.headMoved(150)
      await comes
      assert.deepEqual(asked, inviters)
      assert.deepEqual([admittance.grantFor(151)?.untilRound, admittance.reason(151)], [342, null])
      assert.equal(Buffer.from(admittance.grantFor(151)!.bytes).toString('base64'), await kept())
      assert.deepEqual(told, ['admitted up to round 342'])
    })

    it('keeps it where all are as far ahead: tells and writes nothing, waits before it asks again, and is admitted when it comes there', async () => {
      const before = await kept()
      for (const inviter of inviters) untilRounds.set(inviter, 600)
      for (const head of [0, 100, 200]) {
        admittance.headMoved(head)
        await bothAsked()
        for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
        assert.deepEqual([admittance.isWaiting(head + 1), admittance.reason(head + 1)], [false, 'admitted from round 336 on'])
      }
      assert.deepEqual([asked.length, told, await kept()], [2, [], before])
      admittance.headMoved(400)
      assert.deepEqual([admittance.grantFor(401)?.untilRound, admittance.reason(401)], [592, null])
      assert.equal(asked.length, 2)
    })

    it('says why it gets no other where the inviters are gone, and no more when it is admitted', async () => {
      untilRounds.clear()
      admittance.headMoved(150)
      await bothAsked()
      while (told.length === 0) await new Promise(setImmediate)
      assert.match(admittance.reason(151)!, /^admitted from round 336 on: waiting for admission by .*, who cannot be reached/)
      admittance.headMoved(400)
      assert.equal(admittance.reason(401), null)
    })

    it('keeps one that holds, though less of it is left, where an inviter offers one that reaches too far', async () => {
      for (const inviter of inviters) untilRounds.set(inviter, 1000)
      admittance.headMoved(500)
      await bothAsked()
      await admittance.stop()
      assert.deepEqual([admittance.grantFor(501)?.untilRound, admittance.reason(501), told], [592, null, []])
    })

    it('waits for an inviter where it has ended, and asks again after a while only where a renewal leaves the next one due', async () => {
      assert.deepEqual([admittance.isWaiting(593), admittance.reason(593)], [true, `waiting for admission by ${inviters.join(' or ')}`])
      // An inviter that is learning a history itself signs for a little more each time.
      untilRounds.set(inviters[0]!, 593)
      const comes = renewed()
      admittance.headMoved(590)
      await comes
      await new Promise(setImmediate)
      untilRounds.set(inviters[0]!, 594)
      admittance.headMoved(590)
      assert.deepEqual([asked, told], [[inviters[0]], ['admitted up to round 593']])
    })
  })

  it('asks a live inviter, however many before it in the manifest are gone', async () => {
    const keys = await Promise.all(Array.from({ length: 13 }, () => generateKeyPair('Ed25519')))
    const [self, ...inviters] = keys.map(key => peerOf(key)) as [string, ...string[]]
    const events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
    const manifest = { admission: { invitation: { inviters, grantRounds: 256 } } } as unknown as Manifest // all that is read of it
    const live = inviters[11]!
    const grant = (await signGrant({ run: RUN, peer: self, inviter: live, untilRound: 100 }, keys[12]!)).bytes
    const ways: Pick<AdmittanceComponents, 'isPresent' | 'lot'>[] = [
      { isPresent: inviter => inviter === live },
      // Nobody has heard of it yet: one of the last lots is the best.
      { isPresent: () => false, lot: lotsOf(12) }
    ]
    for (const way of ways) {
      await store.records.table('grants').delete(RUN)
      const asked: string[] = []
      const ask = async (inviter: string): Promise<AdmissionAnswer> => {
        asked.push(inviter)
        if (inviter !== live) throw new ProtocolError('peer_unreachable', 'gone')
        return { is: 'granted', grant }
      }
      const components = {
        ...{ run: RUN, self, manifest, store, events, ask },
        connect: async () => live,
        isConnected: () => false,
        ...way
      }
      const admittance = await Admittance.open(components, new AbortController().signal)
      assert.deepEqual(asked, [live])
      await admittance.stop()
    }
  })

  describe('with an invitation', () => {
    const secret = Buffer.alloc(16, 7)
    let self: string
    let inviter: string
    let other: string
    let grant: Uint8Array
    let asked: { peer: string; secret: string | null }[]
    beforeEach(async () => {
      const keys = await Promise.all([0, 1, 2].map(() => generateKeyPair('Ed25519')))
      ;[self, inviter, other] = keys.map(key => peerOf(key)) as [string, string, string]
      grant = (await signGrant({ run: RUN, peer: self, inviter: other, untilRound: 100 }, keys[2]!)).bytes
      await keepInvitation(store, { run: RUN, inviter, addresses: [], secret }, null)
      asked = []
    })

    /** @param answers undefined: cannot be reached */
    const open = async (answers: Record<string, AdmissionAnswer | undefined>): Promise<Admittance> => {
      const events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
      const manifest = { admission: { invitation: { inviters: [other, inviter], grantRounds: 256 } } } as unknown as Manifest // all that is read of it
      const ask = async (peer: string, request: AdmissionRequest): Promise<AdmissionAnswer> => {
        assert.equal(request.say, 'admit')
        const shown = request.say === 'admit' ? request.secret : null
        asked.push({ peer, secret: shown === null ? null : Buffer.from(shown).toString('hex') })
        const answer = answers[peer]
        if (answer === undefined) throw new ProtocolError('peer_unreachable', 'gone')
        return answer
      }
      return Admittance.open(
        {
          ...{ run: RUN, self, manifest, store, events, ask },
          connect: async address => address,
          isConnected: peer => peer === other,
          isPresent: () => true
        },
        new AbortController().signal
      )
    }
    const row = () => store.records.table<GrantRow>('grants').get(RUN)

    it('asks the other inviters, without the secret, where its inviter is gone', async () => {
      const admittance = await open({ [other]: { is: 'granted', grant } })
      assert.deepEqual(asked, [
        { peer: inviter, secret: secret.toString('hex') },
        { peer: other, secret: null }
      ])
      assert.equal(admittance.grantFor(1)?.inviter, other)
      await admittance.stop()
    })

    it('keeps the invitation while its inviter is gone, whatever the others say', async () => {
      for (const answer of [{ is: 'pending' }, { is: 'refused', code: 'not_admitted' }] as const) {
        await assert.rejects(open({ [other]: answer }), { code: 'admission_pending', message: new RegExp(inviter) })
        assert.equal((await row())?.invitation?.inviter, inviter)
      }
    })

    it('asks nobody else where its inviter has spoken', async () => {
      const others = { [other]: { is: 'granted', grant } } as const
      await assert.rejects(open({ ...others, [inviter]: { is: 'refused', code: 'invitation_expired' } }), { code: 'invitation_expired' })
      await assert.rejects(open({ ...others, [inviter]: { is: 'pending' } }), { code: 'admission_pending' })
      assert.deepEqual(
        asked.map(({ peer }) => peer),
        [inviter, inviter]
      )
    })
  })
})
