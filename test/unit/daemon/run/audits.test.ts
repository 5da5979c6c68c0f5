// Audits with the real store, arithmetic and process, on a model that takes milliseconds.
import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Arithmetic } from '../../../../daemon/arithmetic/arithmetic.ts'
import { EventLog } from '../../../../daemon/events.ts'
import type { Manifest } from '../../../../daemon/manifest.ts'
import { Audits } from '../../../../daemon/run/audits.ts'
import type { KeptRound } from '../../../../daemon/run/ledger.ts'
import type { NodeEvent } from '../../../../protocols/control/messages.ts'
import { isAudited, type Standing, verdictOf } from '../../../../protocols/trust/index.ts'
import { type BlockStore, openStore, type Store } from '../../../../storage/index.ts'
import { initialParameters } from '../../../../training/models/initial-parameters.ts'
import { createModel, type ModelConfig } from '../../../../training/models/model.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'
import { writeTensors } from '../arithmetic/small-mesh.ts'
import { MemoryTable } from '../memory-table.ts'

const MODEL: ModelConfig = {
  family: 'gpt2',
  vocabulary: 257,
  context: 16,
  width: 8,
  layers: 1,
  heads: 2,
  biases: false,
  tiedEmbeddings: true
}
const ME = 'me'

describe('isAudited()', () => {
  it('takes the fraction, other ones on each node, and everybody on probation, but nothing where audits are off', () => {
    const cids = Array.from({ length: 4_000 }, (_, n) => `cid${n}`)
    const taken = (fraction: number, salt: string, standing: Standing = 'good') =>
      cids.filter(cid => isAudited({ cid, standing }, { fraction, salt }))
    assert.ok(Math.abs(taken(0.1, 'a').length - 400) < 80)
    assert.notDeepEqual(taken(0.1, 'a'), taken(0.1, 'b'))
    assert.equal(taken(1, 'a').length, cids.length)
    assert.equal(taken(0.01, 'a', 'probation').length, cids.length)
    assert.equal(taken(0, 'a', 'probation').length, 0)
  })
})

describe('verdictOf()', () => {
  it('bears a little, and nothing that is no number', () => {
    assert.equal(verdictOf({ before: 2, after: 2.05 }), 'fine')
    assert.equal(verdictOf({ before: 2, after: 2.2 }), 'harmful')
    assert.equal(verdictOf({ before: 2, after: Number.NaN }), 'harmful')
  })
})

describe('Audits', function () {
  this.timeout(120_000)
  const home = temporaryHome()
  let store: Store
  let arithmetic: Arithmetic
  beforeEach(async () => {
    store = await openStore(home())
    arithmetic = new Arithmetic({ home: home() })
  })
  afterEach(async () => {
    await arithmetic.close()
    await store.close()
  })

  it('tell which contribution makes the loss worse or no number at all, without a trace on the disk', async () => {
    const model = createModel(MODEL)
    const parameters = initialParameters(model, 1)
    const stages = model.stages.map(({ name, parameters }) => ({ name, tensors: parameters.map(({ name }) => name) }))
    const strategy = { outer: { name: 'averaging' }, codec: { name: 'f32' } } as const
    const { anchor } = await arithmetic.safetensorsToAnchor({ tensors: parameters, stages, strategy })
    const contribution = async (peer: string, factor: number) => {
      const deltaFile = join(home(), 'delta.safetensors')
      await writeTensors(
        deltaFile,
        parameters.map(tensor => ({ ...tensor, values: tensor.values.map(value => value * factor) }))
      )
      const nextResidualFile = join(home(), 'residual.safetensors')
      const { body } = await arithmetic.encodeContribution({
        deltaFile,
        residualFile: null,
        nextResidualFile,
        codec: strategy.codec,
        stages
      })
      return { cid: `cid of ${peer}`, body, peer, round: 1, tokens: 1, age: 0 }
    }
    const contributions = [
      await contribution('honest', 0.01),
      await contribution('liar', -60),
      await contribution('breaker', -1e20),
      await contribution(ME, 1)
    ]
    const text = join(home(), 'text.txt')
    await writeFile(text, 'It is a truth universally acknowledged. '.repeat(100))
    const scratch = join(home(), 'scratch')

    const events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
    const told: NodeEvent[] = []
    const { promise, resolve } = Promise.withResolvers<void>()
    events.subscribe(event => {
      told.push(event)
      if (told.length === 3) resolve()
    })
    const manifest = { model: MODEL, tokenizer: { kind: 'bytes' }, strategy } as unknown as Manifest // all that is read of it
    const audits = new Audits(
      {
        ...{ run: 'run', self: ME, manifest, scratch, tokenizerJson: null, sources: [text] },
        ...{ blocks: store.blocks, arithmetic, events, standing: () => 'good' as const }
      },
      { fraction: 1, niceness: 0 }
    )
    audits.consider({ round: 1, contributions } as unknown as KeptRound, anchor)
    await promise
    await audits.stop()
    // They are looked at in any order.
    told.sort((a, b) => (a.peer! < b.peer! ? -1 : 1))
    assert.deepEqual(
      told.map(({ type, peer, code, data }) => [type, peer, code, data?.verdict, data?.subject]),
      [
        ['audit', 'breaker', 'audit_harmful', 'harmful', 'cid of breaker'],
        ['audit', 'honest', undefined, 'fine', 'cid of honest'],
        ['audit', 'liar', 'audit_harmful', 'harmful', 'cid of liar']
      ],
      JSON.stringify(told)
    )
    assert.match(told[0]!.message, /to NaN: harmful$/, 'a loss that is no number is told as text')
    assert.equal(told[0]!.data?.after, 'NaN')
    assert.deepEqual(await readdir(scratch), [])
  })

  it('make their files in scratch only, which a daemon that was killed empties when it starts', async () => {
    const files: string[] = []
    const { promise, resolve } = Promise.withResolvers<void>()
    const scratch = join(home(), 'scratch')
    const failing = {
      anchorToSafetensors: async ({ file }) => {
        files.push(file)
        return { bytes: 1 }
      },
      bodyToSafetensors: async ({ file }) => {
        files.push(file)
        throw new Error('enough was seen')
      }
    } as Partial<Arithmetic> as Arithmetic // all that is asked of it
    const audits = new Audits(
      {
        ...{ run: 'run', self: ME, scratch, tokenizerJson: null, sources: [], standing: () => 'good' as const, arithmetic: failing },
        manifest: { strategy: { codec: { name: 'f32' } } } as Manifest, // all that is read of it
        blocks: { has: async () => true } as Partial<BlockStore> as BlockStore,
        events: { emit: () => resolve() } as unknown as EventLog
      },
      { fraction: 1 }
    )
    const contributions = [{ cid: 'cid', body: 'body', peer: 'peer', round: 1, tokens: 1, age: 0 }]
    audits.consider({ round: 1, contributions } as Partial<KeptRound> as KeptRound, 'anchor')
    await promise
    await audits.stop()
    assert.deepEqual(
      files.map(file => dirname(file)),
      [scratch, scratch]
    )
  })
})
