// The inviter's desk with the real store, whose writes fail when a test says so.
import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { EventLog } from '../../../../daemon/events.ts'
import { peerOf } from '../../../../daemon/identity.ts'
import { STRANGERS_REFUSALS } from '../../../../daemon/refusals.ts'
import { AdmissionDesk } from '../../../../daemon/run/admission-desk.ts'
import { MAX_ASKS } from '../../../../protocols/admission/constants.ts'
import { type AdmissionAnswer, type AdmissionRequest, type Candidate, decodeInvitation } from '../../../../protocols/admission/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { openStore, StorageError, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'
import { MemoryTable } from '../memory-table.ts'

const ADDRESS = '/ip4/10.0.0.1/tcp/4101'
const RUN = cidOf(Buffer.from('run'), DAG_CBOR)

describe('AdmissionDesk', () => {
  const home = temporaryHome()
  let store: Store
  let isFull: boolean
  let isUnreadable: boolean
  let isLeft: boolean
  let events: EventLog
  /** What another inviter answers to the word that a peer was sent away. */
  let told: (inviter: string, peer: string) => Promise<AdmissionAnswer>
  let open: () => Promise<AdmissionDesk>
  beforeEach(async () => {
    store = await openStore(home())
    isFull = false
    isUnreadable = false
    isLeft = false
    told = () => Promise.reject(new Error('nobody is there'))
    const privateKey = await generateKeyPair('Ed25519')
    const self = peerOf(privateKey)
    events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
    const records = Object.create(store.records, {
      batch: {
        value: (...args: Parameters<typeof store.records.batch>) =>
          isFull ? Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' })) : store.records.batch(...args)
      },
      table: {
        value: (...args: Parameters<typeof store.records.table>) => {
          if (isUnreadable) throw new StorageError('store_closed', 'the records are closed')
          return store.records.table(...args)
        }
      }
    })
    open = async () =>
      new AdmissionDesk({
        ...{ self, privateKey, store: { ...store, records } as Store, events },
        runOf: () => (isLeft ? null : { inviters: [self, 'away', 'here'], grantRounds: 256, round: 1 }),
        isBanned: () => false,
        ask: (inviter, request) => told(inviter, request.say === 'revoked' ? request.peer : '')
      })
  })
  afterEach(() => store.close())

  it('grants nothing that could not be written down, and lets one use of an invitation in one peer', async () => {
    const [joiner, other] = (await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')])).map(peerOf) as [string, string]
    const desk = await open()
    const { text } = await desk.invite(RUN, { expiresMs: null, uses: 1, peer: null, addresses: [] })
    const { secret } = decodeInvitation(text)
    const request: AdmissionRequest = { say: 'admit', run: RUN, name: null, secret, grant: null }
    isFull = true
    await assert.rejects(desk.answer(joiner, request, ADDRESS), { code: 'ENOSPC' })
    await assert.rejects(desk.answer(joiner, request, ADDRESS), { code: 'ENOSPC' }, 'a second request is no way around the disk')
    isFull = false
    assert.equal((await desk.answer(other, request, ADDRESS)).is, 'granted')
    for (const later of [desk, await open()])
      assert.deepEqual(await later.answer(joiner, request, ADDRESS), { is: 'refused', code: 'invitation_used_up' })
  })

  it('tells of a bounded number of refusals, whatever a refused peer tries in turn and however many there are', async () => {
    const desk = await open()
    await desk.decided(RUN, 'refused', 'refused')
    const ask = (peer: string, secret: Uint8Array | null) =>
      desk.answer(peer, { say: 'admit', run: RUN, name: null, secret, grant: null }, ADDRESS)
    for (let n = 0; n < MAX_ASKS / 2; n++) {
      assert.deepEqual(await ask('refused', new Uint8Array(16)), { is: 'refused', code: 'invitation_unknown' })
      assert.deepEqual(await ask('refused', null), { is: 'refused', code: 'not_admitted' })
    }
    const codes = (await events.since(0, 1_000)).map(({ code }) => code)
    assert.deepEqual(codes, ['not_admitted', 'invitation_unknown', 'not_admitted'], "the operator's word, and each refusal once")
    for (let n = 0; n < 2 * STRANGERS_REFUSALS.all.burst; n++) await ask(`guest ${n}`, new Uint8Array(16))
    assert.equal(events.last, STRANGERS_REFUSALS.all.burst + 1)
  })

  it('tells the other inviters of a peer that is refused after it was let in, and says that it was sent away', async () => {
    const heard: string[] = []
    const hearsAll = Promise.withResolvers<void>()
    told = async (inviter, peer) => {
      if (heard.push(`${peer} at ${inviter}`) === 2) hearsAll.resolve()
      return { is: 'noted' }
    }
    const desk = await open()
    await desk.decided(RUN, 'member', 'admitted')
    assert.equal((await desk.decided(RUN, 'member', 'refused')).state, 'revoked')
    await hearsAll.promise
    assert.deepEqual(heard.sort(), ['member at away', 'member at here'])
    const codes = (await events.since(0, 9)).map(({ code }) => code)
    assert.deepEqual(codes, ['peer_admitted', 'admission_revoked'])
  })

  it('counts who waits for the word of its operator, as soon as it is read', async () => {
    const ask = (desk: AdmissionDesk, peer: string) =>
      desk.answer(peer, { say: 'admit', run: RUN, name: null, secret: null, grant: null }, ADDRESS)
    const desk = await open()
    assert.equal(desk.pending(RUN), 0)
    for (const peer of ['first', 'second', 'first']) assert.deepEqual(await ask(desk, peer), { is: 'pending' })
    assert.equal(desk.pending(RUN), 2)
    await desk.decided(RUN, 'first', 'refused')
    assert.equal(desk.pending(RUN), 1)
    const later = await open()
    await later.load(RUN)
    assert.equal(later.pending(RUN), 1)
  })

  it('knows the other inviters where the run was left while it was read, and is joined again', async () => {
    const desk = await open()
    const loading = desk.load(RUN)
    isLeft = true
    await loading
    isLeft = false
    assert.deepEqual((await desk.decided(RUN, 'member', 'revoked')).untold, ['away', 'here'])
  })

  it('is loaded when it is asked where it could not be before, and says so', async () => {
    const desk = await open()
    isUnreadable = true
    await desk.load(RUN)
    assert.deepEqual(
      (await events.since(0, 9)).map(({ type, code }) => [type, code]),
      [['admission', 'store_closed']]
    )
    isUnreadable = false
    assert.deepEqual(await desk.candidates(RUN), [])
  })

  it('tells each inviter of the newest revocation first, whoever else is away, and who is away of one at a time', async () => {
    const heard: [inviter: string, peer: string][] = []
    const hearsAll = Promise.withResolvers<void>()
    told = async (inviter, peer) => {
      heard.push([inviter, peer])
      if (inviter === 'here') {
        if (heard.filter(([by]) => by === inviter).length === 3) hearsAll.resolve()
        return { is: 'noted' }
      }
      await hearsAll.promise
      throw new Error('nobody is there')
    }
    const rows = store.records.table<Candidate>('candidates')
    for (const [since, peer] of ['first', 'second', 'third'].entries()) {
      const row = { peer, state: 'revoked', since, askedAt: since, address: null, name: null, by: null, untold: ['away', 'here'] } as const
      await rows.put(`${RUN}/${peer}`, { ...row, untold: [...row.untold] })
    }
    const desk = await open()
    await desk.load(RUN)
    await desk.tellRevocations()
    const of = (inviter: string) => heard.filter(([by]) => by === inviter).map(([, peer]) => peer)
    assert.deepEqual(of('here'), ['third', 'second', 'first'])
    assert.deepEqual(of('away'), ['third'])
    assert.deepEqual(new Set((await desk.candidates(RUN)).map(({ untold }) => untold.join())), new Set(['away']))
  })
})
