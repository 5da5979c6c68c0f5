import assert from 'node:assert/strict'
import { existsSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Arithmetic } from '../../../../daemon/arithmetic/arithmetic.ts'
import { encodeContribution } from '../../../../daemon/arithmetic/encode-contribution.ts'
import { peerOf } from '../../../../daemon/identity.ts'
import type { Manifest } from '../../../../daemon/manifest.ts'
import { type OwnComponents, OwnContributions } from '../../../../daemon/run/contributing.ts'
import { type KeptRound, Ledger, type OwnContribution } from '../../../../daemon/run/ledger.ts'
import { Retention } from '../../../../daemon/run/retention.ts'
import { deltaFile, trainerFolder } from '../../../../daemon/trainer/delta-files.ts'
import { encodeBody } from '../../../../protocols/bodies/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { ProtocolError } from '../../../../protocols/errors.ts'
import { makeFolder, openStore, StorageError, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'
import { MemoryBlocks, STAGES, tensorsOf, writeTensors } from '../arithmetic/small-mesh.ts'

const ANCHOR = 'anchor'

describe('OwnContributions', () => {
  const home = temporaryHome()
  const run = cidOf(new Uint8Array([7]), DAG_CBOR)
  let store: Store
  let ledger: Ledger
  let own: OwnContributions
  let told: string[]
  let came: string[]
  let normMax: number
  beforeEach(async () => {
    store = await openStore(home())
    ledger = new Ledger(store, run)
    told = []
    came = []
    normMax = Number.POSITIVE_INFINITY
    own = await contributionsIn('a')
  })
  afterEach(async () => {
    await store.close()
  })

  async function contributionsIn(folder: string): Promise<OwnContributions> {
    const privateKey = await generateKeyPair('Ed25519')
    const directory = join(home(), folder)
    await makeFolder(trainerFolder(directory))
    return new OwnContributions({
      ...{ run, peer: peerOf(privateKey), privateKey, directory, ledger, blocks: store.blocks, admittance: null, stages: STAGES },
      manifest: { strategy: { codec: { name: 'int8' } } } as Manifest, // all that is read of it
      arithmetic: {
        encodeContribution: request => encodeContribution({ blocks: new MemoryBlocks() }, request),
        normMax: async () => {
          if (Number.isNaN(normMax)) throw new ProtocolError('block_missing', 'gone')
          return normMax
        }
      } as Partial<Arithmetic> as Arithmetic, // all that is asked of it
      retention: { came: (root, round) => came.push(`${root} ${round}`) },
      failed: (_, error) => told.push((error as { code: string }).code)
    } satisfies OwnComponents)
  }

  const made = async (sequence: number, folder = 'a'): Promise<OwnContribution> => {
    await writeTensors(deltaFile(trainerFolder(join(home(), folder)), sequence), tensorsOf(sequence, 0.01))
    return own.made({ sequence, round: sequence, steps: 1, tokens: 10, loss: 1 }, run)
  }
  const residual = (sequence: number, folder = 'a'): string => join(home(), folder, `residual-${sequence}.safetensors`)
  /** Of a contribution, where the one before left this over. */
  const bodyOf = async (sequence: number, residualFile: string | null): Promise<string> => {
    const files = { deltaFile: deltaFile(trainerFolder(join(home(), 'a')), sequence), residualFile, nextResidualFile: join(home(), 'next') }
    return (await encodeContribution({ blocks: new MemoryBlocks() }, { ...files, codec: { name: 'int8' }, stages: STAGES })).body
  }

  const body = async (text: string): Promise<string> => {
    const { root, blocks } = encodeBody([{ name: 'stage', tensors: [{ name: 't', shape: [text.length], bytes: Buffer.from(text) }] }])
    for (const { cid, bytes } of blocks) await store.blocks.put(cid, bytes)
    return root
  }
  const offered = (round: number, body: string): OwnContribution => ({
    sequence: round,
    round,
    parent: `r${round - 1}`,
    steps: 1,
    tokens: 1,
    loss: 1,
    cid: `c${round}`,
    body,
    fate: 'offered'
  })

  it('goes on in a home that was moved, with what the codec left over', async () => {
    await own.offer(await made(1), ANCHOR)
    const second = await made(2)
    const expected = await bodyOf(2, residual(1))
    renameSync(join(home(), 'a'), join(home(), 'b'))
    own = await contributionsIn('b')
    const { contribution } = await own.offer(second, ANCHOR)
    assert.equal(contribution.body, expected)
    assert.deepEqual(told, [])
    assert.ok(!JSON.stringify(await ledger.own(9)).includes(home()), 'the ledger holds no path')
  })

  it('adds nothing that the codec left over from one whose whole change a fork left in the parameters', async () => {
    await own.offer(await made(1), ANCHOR)
    const [first] = await ledger.own(1)
    await own.mark({ ...first!, isKept: true }, 'dropped')
    const second = await made(2)
    const [alone, withBoth] = [await bodyOf(2, null), await bodyOf(2, residual(1))]
    assert.notEqual(alone, withBoth)
    const { contribution } = await own.offer(second, ANCHOR)
    assert.equal(contribution.body, alone)
  })

  it('counts what the codec left over as nothing where its file is missing or damaged, and tells', async () => {
    await own.offer(await made(1), ANCHOR)
    const spoilt: [string, (file: string) => void][] = [
      ['file_missing', file => rmSync(file)],
      ['safetensors_truncated', file => truncateSync(file, 1000)]
    ]
    for (const [i, [code, spoil]] of spoilt.entries()) {
      const next = await made(i + 2)
      spoil(residual(i + 1))
      const { contribution } = await own.offer(next, ANCHOR)
      assert.equal(contribution.body, await bodyOf(i + 2, null))
      assert.deepEqual(told.splice(0), [code])
    }
  })

  it('offers none whose delta is no use, and has none to put back', async () => {
    await own.offer(await made(1), ANCHOR)
    const second = await made(2)
    rmSync(deltaFile(trainerFolder(join(home(), 'a')), 2))
    await assert.rejects(own.offer(second, ANCHOR), { code: 'file_missing' })
    assert.deepEqual(told, [], 'what is carried is as it was')
    await assert.rejects(own.sentFile(second), { code: 'file_missing' }, 'nor can it be put back')
    writeFileSync(deltaFile(trainerFolder(join(home(), 'a')), 2), 'damaged')
    await assert.rejects(own.sentFile(second), { code: 'safetensors_truncated' })
  })

  it('signs none that others would refuse for its norm, and says how large it is and may be', async () => {
    await own.offer(await made(1), ANCHOR)
    const diverged = await made(2)
    normMax = 1e-3
    await assert.rejects(own.offer(diverged, ANCHOR), {
      code: 'norm_too_large',
      message: /norm is \d\.\d\de[+-]\d+ or more: above 1\.00e-3 /
    })
    assert.equal(await own.offerAgain(diverged, ANCHOR), 'diverged')
    assert.deepEqual(told, ['norm_too_large'])
    const [kept] = await ledger.own(1)
    assert.deepEqual(kept, { ...diverged, isDiverged: true })
    assert.equal(await own.offerAgain(kept!, null), 'diverged', 'also where its round is over')
    assert.equal(came.length, 1, 'the body of the first')
    normMax = Number.POSITIVE_INFINITY
    await own.mark(diverged, 'dropped')
    const third = await made(3)
    const expected = await bodyOf(3, residual(1))
    const { contribution } = await own.offer(third, ANCHOR)
    assert.equal(contribution.body, expected, 'nothing of it is carried')
  })

  it('offers without a limit where the disk has lost a block of the anchor', async () => {
    normMax = Number.NaN
    assert.notEqual((await own.offer(await made(1), ANCHOR)).cid, null)
  })

  it('leaves no file of one that could not be offered, once it is put back or given up', async () => {
    await own.offer(await made(1), ANCHOR)
    for (const [sequence, fate] of [
      [2, 'restored'],
      [3, 'dropped']
    ] as const) {
      const failed = await made(sequence)
      writeFileSync(residual(sequence), '')
      writeFileSync(join(home(), 'a', `sent-${sequence}.safetensors`), '')
      await own.forgetFiles()
      assert.ok(existsSync(deltaFile(trainerFolder(join(home(), 'a')), sequence)), 'what can still be offered or put back')
      await own.mark(failed, fate)
    }
    await made(4)
    await own.forgetFiles()
    const left = readdirSync(join(home(), 'a'), { recursive: true }).sort()
    assert.deepEqual(left, ['residual-1.safetensors', 'trainer', join('trainer', 'delta-4.safetensors')])
    assert.deepEqual(told, [])
  })

  it('tells of a body as soon as it is here, also where its contribution finds no room', async () => {
    const failing = await made(1)
    store.blocks.put = async () => {
      throw new StorageError('disk_full', 'no room')
    }
    await assert.rejects(own.offer(failing, ANCHOR), { code: 'disk_full' })
    assert.deepEqual(came, [`${await bodyOf(1, null)} 1`])
  })

  it('has only to put back after a restart what cannot be encoded, and tells why', async () => {
    const spoilt: [string, (file: string) => Promise<void> | void][] = [
      ['file_missing', file => rmSync(file)],
      ['safetensors_truncated', file => truncateSync(file, 1000)],
      ['non_finite', file => writeTensors(file, tensorsOf(1, Number.NaN))]
    ]
    for (const [i, [code, spoil]] of spoilt.entries()) {
      const failing = await made(i + 1)
      await spoil(deltaFile(trainerFolder(join(home(), 'a')), i + 1))
      assert.equal(await own.offerAgain(failing, ANCHOR), 'lost')
      assert.deepEqual(told.splice(0), [code])
      await own.mark(failing, 'dropped')
    }
    const whole = await made(4)
    assert.equal(await own.offerAgain(whole, null), 'lost', 'its round is over')
    assert.equal(await own.offerAgain({ ...whole, fate: 'lost' }, ANCHOR), 'lost', 'it may be in the local model')
    assert.notEqual(await own.offerAgain(whole, ANCHOR), 'lost')
    assert.deepEqual(told, [])
  })

  it('takes up after a restart what a record had taken that a fork set aside', async () => {
    const { cid } = await own.offer(await made(1), ANCHOR)
    const adopt = (record: string, parent: string, taken: string[], round = 1) => {
      const contributions = taken.map(cid => ({ cid, body: '', peer: '', round, tokens: 1, age: 0 }))
      const kept = { round, record, parent, anchor: '', contributions } as Partial<KeptRound> as KeptRound // all that is read of it
      return ledger.adopt({ record, round, anchor: '' }, [kept], round - 1)
    }
    await adopt('A', run, [cid])
    const included = (await own.settle(cid, 'included'))!
    assert.deepEqual(await own.unsettled(), [])
    assert.equal(await own.fateUpTo((await ledger.head())!, included), 'included')

    await adopt('B', run, [])
    const [setAside] = await own.unsettled()
    assert.deepEqual(setAside, { ...included, fate: 'offered', isSetAside: true })
    assert.deepEqual(await own.open(), [setAside])
    assert.equal(await own.fateUpTo((await ledger.head())!, setAside!), null, 'the next record may take it')
    assert.equal(await own.fateUpTo((await ledger.head())!, { ...setAside!, round: 2, parent: 'A' }), 'lost', 'its parent was set aside')
    await adopt('C', 'B', [], 2)
    assert.equal(await own.fateUpTo((await ledger.head())!, setAside!), 'lost')
  })

  it('says what the record has of one, not what was sent: that it came late, and was cut', async () => {
    const late = { ...offered(1, 'body'), tokens: 900 }
    const facts = { round: 2, record: 'B', parent: 'A', anchor: '' }
    const part = { cid: 'c1', body: 'body', peer: '', round: 1, tokens: 500, age: 1, scale: 0.25 }
    const kept = { ...facts, contributions: [part] } as Partial<KeptRound> as KeptRound // all that is read of it
    assert.equal(await own.takenOf(late), null)
    await ledger.adopt(facts, [kept], 1)
    assert.deepEqual(await own.takenOf(late), { tokens: 500, age: 1, scale: 0.25 })
  })

  it('counts the tokens of all that it ever made, and holds one of them at a time', async () => {
    for (let round = 1; round <= 3; round++) await ledger.putOwn({ ...offered(round, await body('any')), tokens: round })
    ledger.own = async () => assert.fail('a long run has more of them than memory should hold')
    assert.equal(await own.tokens(), 6)
  })

  it('takes up all that a fork set aside, however many rounds it was apart', async () => {
    for (let round = 1; round <= 60; round++) {
      await ledger.putOwn({ ...offered(round, await body(`${round}`)), fate: round <= 20 ? 'dropped' : 'included' })
    }
    assert.deepEqual(
      (await own.unsettled()).map(({ round, isSetAside }) => [round, isSetAside]),
      Array.from({ length: 40 }, (_, i) => [21 + i, true])
    )
  })

  it('remembers that a fork set aside the record that had taken one, and takes it for included where another takes it all the same', async () => {
    const { cid } = await own.offer(await made(1), ANCHOR)
    assert.equal((await own.settle(cid, 'included'))?.isSetAside, undefined)
    const late = await own.settle(cid, 'late')
    assert.equal(late?.isSetAside, true)
    await own.mark(late!, 'dropped')
    assert.equal(await own.settle(cid, 'lost'), null)
    assert.equal((await own.settle(cid, 'included'))?.fate, 'included')
  })

  it('keep the body of one that was lost until it is put back, however many rounds the head went on at once', async () => {
    const mine = await body('mine')
    await ledger.putOwn(offered(4, mine))
    const retention = new Retention(store.blocks, await body('genesis'))
    retention.came(mine, 4)
    const newest = { round: 9, anchor: await body('anchor'), contributions: [] as KeptRound['contributions'] } as KeptRound // all that is read of it

    const lost = await own.settle('c4', 'lost')
    await retention.forget([newest], await own.open(), [])
    assert.equal(await store.blocks.has(mine), true)
    assert.deepEqual(
      (await own.open()).map(({ fate }) => fate),
      ['lost'],
      'a restart in between finds it'
    )
    await own.mark(lost!, 'restored')
    await retention.forget([newest], await own.open(), [])
    assert.equal(await store.blocks.has(mine), false)
  })
})
