// The worker end to end on a home of its own: files in, blocks on disk, files out.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Arithmetic, type EncodedContribution } from '../../../../daemon/arithmetic/arithmetic.ts'
import { DaemonError } from '../../../../daemon/errors.ts'
import { listBodyBlocks } from '../../../../protocols/bodies/index.ts'
import { ProtocolError } from '../../../../protocols/errors.ts'
import { floatsOf, openBlockFiles, readSafetensorsFile, StorageError } from '../../../../storage/index.ts'
import { TrainingError } from '../../../../training/errors.ts'
import { deltaNorm } from '../../../../training/outer/index.ts'
import { countBlocks, putCbor } from '../../storage/stored-blocks.ts'
import { type NamedTensor, STAGES, temporaryFolder, tensorsOf, writeTensors } from './small-mesh.ts'

const AVERAGING = { outer: { name: 'averaging' } } as const
const NESTEROV = { outer: { name: 'nesterov', learningRate: 0.7, momentum: 0.9 } } as const

/** Worker code that dies as it is asked. */
const CRASHING = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort } from 'node:worker_threads'
    parentPort.on('message', ({ name }) => { if (name === 'nextAnchor') throw new RangeError('out of luck'); process.exit(9) })
  `)}`
)

describe('Arithmetic', function () {
  this.timeout(30_000)
  const home = temporaryFolder()
  let arithmetic: Arithmetic
  let corrupt: string[]
  const path = (name: string): string => join(home(), name)

  beforeEach(() => {
    corrupt = []
    arithmetic = new Arithmetic({ home: home() }, { onCorrupt: cid => corrupt.push(cid) })
  })
  afterEach(() => arithmetic.close())

  const genesis = (strategy: typeof AVERAGING | typeof NESTEROV = AVERAGING) =>
    arithmetic.safetensorsToAnchor({ tensors: tensorsOf(1, 1), stages: STAGES, strategy })
  const encode = async (delta: NamedTensor[], codec = 'int8', normMax?: number) => {
    await writeTensors(path('delta'), delta)
    return await arithmetic.encodeContribution({
      deltaFile: path('delta'),
      residualFile: null,
      nextResidualFile: path('residual'),
      codec,
      stages: STAGES,
      ...(normMax === undefined ? {} : { normMax })
    })
  }
  const readFloats = async (file: string): Promise<NamedTensor[]> =>
    (await readSafetensorsFile(file)).tensors.map(t => ({ name: t.name, shape: t.shape, values: floatsOf(t) }))

  it('takes a round from a trainer’s file to the next anchor’s file', async () => {
    const { anchor } = await genesis()
    const first = await encode(tensorsOf(21, 0.01))
    const second = await encode(tensorsOf(22, 0.01), 'f32')
    for (const [{ body, norm }, codec] of [
      [first, 'int8'],
      [second, 'f32']
    ] as const)
      assert.equal(await arithmetic.checkContribution({ body, codec, norm, parentAnchor: anchor }), null)
    const next = await arithmetic.nextAnchor({
      parentAnchor: anchor,
      contributions: [
        { body: first.body, codec: 'int8', author: 'a', tokens: 300, age: 0, norm: 1 },
        { body: second.body, codec: { name: 'f32' }, author: 'b', tokens: 100, age: 0, norm: 1 }
      ],
      strategy: AVERAGING
    })
    const { bytes } = await arithmetic.anchorToSafetensors({ anchor: next.anchor, file: path('next'), metadata: { round: '1' } })
    assert.equal(bytes, next.bytes)
    assert.equal((await readSafetensorsFile(path('next'))).metadata.round, '1')
    const got = await readFloats(path('next'))
    const [start, a, b] = [tensorsOf(1, 1), tensorsOf(21, 0.01), tensorsOf(22, 0.01)]
    for (const [t, tensor] of got.entries()) {
      assert.equal(tensor.name, start[t]!.name)
      assert.deepEqual(tensor.shape, start[t]!.shape)
      for (let i = 0; i < tensor.values.length; i++) {
        const want = start[t]!.values[i]! - (300 * a[t]!.values[i]! + 100 * b[t]!.values[i]!) / 400
        // Half an int8 step of the largest value in a block, and f32's rounding.
        assert.ok(Math.abs(tensor.values[i]! - want) <= 0.0025 / 254 + 1e-7)
      }
    }
  })

  it('gives an anchor’s file back as the same anchor, outer state included', async () => {
    const { anchor } = await genesis(NESTEROV)
    const { body } = await encode(tensorsOf(31, 0.01))
    const next = await arithmetic.nextAnchor({
      parentAnchor: anchor,
      contributions: [{ body, codec: 'int8', author: 'a', tokens: 5, age: 0, norm: 1 }],
      strategy: NESTEROV
    })
    await arithmetic.anchorToSafetensors({ anchor: next.anchor, file: path('whole'), outerState: true })
    const again = await arithmetic.safetensorsToAnchor({ file: path('whole'), stages: STAGES, strategy: NESTEROV })
    assert.equal(again.anchor, next.anchor)
    await arithmetic.anchorToSafetensors({ anchor: next.anchor, file: path('trainable') })
    const names = (await readFloats(path('trainable'))).map(t => t.name)
    assert.deepEqual(
      names,
      STAGES.flatMap(stage => stage.tensors)
    )
  })

  it('writes nothing twice and names every block it needs', async () => {
    const { anchor, blocks } = await genesis()
    const store = await openBlockFiles(home())
    const listed = await listBodyBlocks(anchor, cid => store.get(cid))
    assert.deepEqual([...listed.blocks].sort(), [...blocks].sort())
    const { body } = await encode(tensorsOf(41, 0.01))
    const request = {
      parentAnchor: anchor,
      contributions: [{ body, codec: 'int8', author: 'a', tokens: 5, age: 0, norm: 1 }],
      strategy: AVERAGING
    }
    const once = await arithmetic.nextAnchor(request)
    const file = (cid: string): number => {
      const folder = join(home(), 'blocks')
      const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find(name => name.endsWith(cid))!
      return statSync(join(folder, found)).mtimeMs
    }
    const before = once.blocks.map(file)
    const twice = await arithmetic.nextAnchor(request)
    assert.equal(twice.anchor, once.anchor)
    assert.deepEqual(twice.blocks.map(file), before)
    await store.close()
  })

  it('carries the residual: nothing that was trained is lost', async () => {
    let residualFile: string | null = null
    const sent = new Map<string, Float64Array>()
    for (const round of [1, 2, 3]) {
      await writeTensors(path('delta'), tensorsOf(50 + round, 0.01))
      const nextResidualFile = path(`residual-${round}`)
      const { body, norm } = await arithmetic.encodeContribution({
        deltaFile: path('delta'),
        residualFile,
        nextResidualFile,
        codec: 'f16',
        stages: STAGES
      })
      assert.ok(norm > 0)
      // The next anchor from zeros is minus what was sent.
      const zeros = tensorsOf(1, 1).map(t => ({ ...t, values: new Float32Array(t.values.length) }))
      const { anchor } = await arithmetic.safetensorsToAnchor({ tensors: zeros, stages: STAGES, strategy: AVERAGING })
      const next = await arithmetic.nextAnchor({
        parentAnchor: anchor,
        contributions: [{ body, codec: 'f16', author: 'a', tokens: 1, age: 0, norm: 1 }],
        strategy: AVERAGING
      })
      await arithmetic.anchorToSafetensors({ anchor: next.anchor, file: path('sent') })
      for (const { name, values } of await readFloats(path('sent'))) {
        const total = sent.get(name) ?? new Float64Array(values.length)
        for (let i = 0; i < values.length; i++) total[i]! -= values[i]!
        sent.set(name, total)
      }
      residualFile = nextResidualFile
    }
    for (const { name, values } of await readFloats(residualFile!)) {
      const rounds = [51, 52, 53].map(seed => tensorsOf(seed, 0.01).find(t => t.name === name)!.values)
      for (let i = 0; i < values.length; i++) {
        const trained = rounds[0]![i]! + rounds[1]![i]! + rounds[2]![i]!
        assert.ok(Math.abs(trained - (sent.get(name)![i]! + values[i]!)) < 1e-9)
      }
    }
  })

  it('refuses bodies by reason', async () => {
    const { anchor } = await genesis()
    const { body, norm } = await encode(tensorsOf(61, 0.01))
    const check = (changes: Record<string, unknown>) =>
      arithmetic.checkContribution({ body, codec: 'int8', norm, parentAnchor: anchor, ...changes })
    assert.equal(await check({}), null)
    assert.equal(await check({ norm: norm * (1 + 1e-15) }), 'norm_mismatch')
    assert.equal(await check({ norm: Number.NaN }), 'norm_mismatch')
    assert.equal(await check({ codec: 'f16' }), 'shape_mismatch')
    assert.equal(await check({ body: anchor, codec: 'int8' }), 'shape_mismatch')
    const large = await encode(tensorsOf(62, 1000))
    assert.equal(await check({ body: large.body, norm: large.norm }), 'norm_too_large')
    const normMax = await arithmetic.normMax({ parentAnchor: anchor })
    assert.ok(norm < normMax && normMax < large.norm, 'as its own author can know')
    const store = await openBlockFiles(home())
    const noIndex = await putCbor(store, { v: 1, stages: 'many' })
    assert.equal(await check({ body: noIndex }), 'bad_body')
    await store.close()
    await assert.rejects(check({ body: 'bafyreigad4vpc2c4gneyzhxesncqbwycarvwrsa6xdvbrgq6zachydiwrq' }), { code: 'block_missing' })
  })

  it('remembers what a body came to, for its anchor and codec, and not that it was not here', async () => {
    const { anchor } = await genesis()
    const { body, norm, blocks } = await encode(tensorsOf(65, 0.01))
    const check = (changes: Record<string, unknown> = {}) =>
      arithmetic.checkContribution({ body, codec: 'int8', norm, parentAnchor: anchor, ...changes })
    const store = await openBlockFiles(home())
    const chunk = blocks[0]!
    const bytes = await store.get(chunk)
    await store.delete(chunk)
    await assert.rejects(check(), { code: 'block_missing' })
    await store.put(chunk, bytes!)
    assert.equal(await check(), null)
    const bad = await encode(tensorsOf(66, 1000))
    assert.equal(await check({ body: bad.body, norm: bad.norm }), 'norm_too_large')
    const noIndex = await putCbor(store, { v: 1, stages: 'many' })
    assert.equal(await check({ body: noIndex }), 'bad_body')
    // As no other look would find it.
    for (const cid of [chunk, bad.body, noIndex]) await store.delete(cid)
    assert.equal(await check(), null)
    assert.equal(await check({ norm: norm * 2 }), 'norm_mismatch')
    assert.equal(await check({ body: bad.body, norm: bad.norm }), 'norm_too_large')
    assert.equal(await check({ body: noIndex }), 'bad_body')
    const { anchor: other } = await genesis(NESTEROV)
    await assert.rejects(check({ parentAnchor: other }), { code: 'block_missing' })
    assert.equal(await check({ codec: 'f16' }), 'shape_mismatch')
    await store.close()
  })

  it('states the norm of what the others decode', async () => {
    const delta = tensorsOf(71, 0.01)
    assert.equal((await encode(delta, 'f32')).norm, deltaNorm(delta))
    assert.notEqual((await encode(delta, 'int8')).norm, deltaNorm(delta))
  })

  it('brings errors over in their own class', async () => {
    const { anchor } = await genesis()
    const nan = tensorsOf(81, 0.01)
    nan[0]!.values[123_456] = Number.NaN
    await assert.rejects(encode(nan), (error: unknown) => error instanceof TrainingError && error.code === 'non_finite')
    await assert.rejects(
      encode(tensorsOf(81, 1).slice(1)),
      (error: unknown) => error instanceof StorageError && error.code === 'safetensors_missing'
    )
    await assert.rejects(
      arithmetic.nextAnchor({
        parentAnchor: anchor,
        contributions: [{ body: anchor, codec: 'int8', author: 'a', tokens: 1, age: 0, norm: 1 }],
        strategy: AVERAGING
      }),
      (error: unknown) => error instanceof DaemonError && error.code === 'bad_contribution'
    )
    await assert.rejects(
      arithmetic.nextAnchor({ parentAnchor: anchor, contributions: [], strategy: NESTEROV }),
      (error: unknown) => error instanceof DaemonError && error.code === 'bad_anchor'
    )
    await assert.rejects(arithmetic.anchorToSafetensors({ anchor: 'nonsense', file: path('x') }), { code: 'bad_cid' })
    assert.deepEqual(
      readdirSync(home()).filter(name => name.includes('residual') || name === 'x'),
      []
    )
  })

  it('leaves nothing of a body that it could not finish, and all that was there before', async () => {
    const { anchor, blocks: ofAnchor } = await genesis()
    const delta = tensorsOf(91, 0.01)
    // Its next value is the old one: that chunk is the anchor's.
    delta.find(({ name }) => name === 'wpe')!.values.fill(0)
    const { body } = await encode(delta)
    const store = await openBlockFiles(home())
    const listed = await listBodyBlocks(body, cid => store.get(cid))
    // The last that is read.
    await store.delete(listed.blocks.at(-1)!)
    const before = await countBlocks(store)
    const contributions = [{ body, codec: 'int8', author: 'a', tokens: 5, age: 0, norm: 1 }]
    await assert.rejects(arithmetic.nextAnchor({ parentAnchor: anchor, contributions, strategy: AVERAGING }), { code: 'block_missing' })
    const spoilt = tensorsOf(92, 0.01)
    spoilt.at(-1)!.values.fill(Number.NaN)
    await assert.rejects(encode(spoilt), { code: 'non_finite' })
    await assert.rejects(encode(tensorsOf(93, 1000), 'int8', await arithmetic.normMax({ parentAnchor: anchor })), {
      code: 'norm_too_large'
    })
    await assert.rejects(arithmetic.safetensorsToAnchor({ tensors: spoilt, stages: STAGES, strategy: AVERAGING }), { code: 'non_finite' })
    assert.equal(await countBlocks(store), before)
    for (const cid of ofAnchor) assert.ok(await store.has(cid))
    await store.close()
  })

  it('reports a corrupted block, which can then be fetched again', async () => {
    const { anchor, blocks } = await genesis()
    const folder = join(home(), 'blocks')
    const victim = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find(name => name.endsWith(blocks[1]!))!
    const bytes = readFileSync(join(folder, victim))
    bytes[5]! ^= 1
    writeFileSync(join(folder, victim), bytes)
    await assert.rejects(
      arithmetic.anchorToSafetensors({ anchor, file: path('out') }),
      (error: unknown) => error instanceof ProtocolError && error.code === 'block_missing'
    )
    assert.deepEqual(corrupt, [blocks[1]])
    assert.equal((await genesis()).anchor, anchor)
    await arithmetic.anchorToSafetensors({ anchor, file: path('out') })
  })

  it('lets all other calls pass the checks that wait, and those of strangers wait for all', async () => {
    const { anchor } = await genesis()
    const made: EncodedContribution[] = []
    for (const seed of [93, 94, 95, 96]) made.push(await encode(tensorsOf(seed, 0.01)))
    const answered: string[] = []
    const check = (i: number, isStrangers: boolean) =>
      arithmetic
        .checkContribution({ ...made[i]!, codec: 'int8', parentAnchor: anchor, isStrangers })
        .then(() => answered.push(isStrangers ? `stranger ${i}` : `author ${i}`))
    await Promise.all([
      check(0, true),
      check(1, true),
      check(2, true),
      check(3, false),
      arithmetic.anchorToSafetensors({ anchor, file: path('out') }).then(() => answered.push('file'))
    ])
    assert.deepEqual(answered, ['stranger 0', 'file', 'author 3', 'stranger 1', 'stranger 2'])
  })

  it('gives up a call by its signal and goes on with the others', async () => {
    const { anchor } = await genesis()
    const controller = new AbortController()
    const abandoned = arithmetic.anchorToSafetensors({ anchor, file: path('a') }, { signal: controller.signal })
    const other = arithmetic.anchorToSafetensors({ anchor, file: path('b') })
    controller.abort(new Error('enough'))
    await assert.rejects(abandoned, /enough/)
    await other
    await assert.rejects(
      arithmetic.anchorToSafetensors({ anchor, file: path('c') }, { signal: AbortSignal.abort(new Error('never')) }),
      /never/
    )
  })

  it('fails the calls of a worker that dies and starts another', async () => {
    const doomed = new Arithmetic({ home: home() }, { workerUrl: CRASHING })
    const ask = (name: 'nextAnchor' | 'anchorToSafetensors') =>
      name === 'nextAnchor'
        ? doomed.nextAnchor({ parentAnchor: '', contributions: [], strategy: AVERAGING })
        : doomed.anchorToSafetensors({ anchor: '', file: '' })
    await Promise.all([assert.rejects(ask('nextAnchor'), /out of luck/), assert.rejects(ask('nextAnchor'), { code: 'arithmetic_crashed' })])
    // A new worker answers the next call, with its own death.
    await assert.rejects(ask('anchorToSafetensors'), { code: 'arithmetic_crashed' })
    await assert.rejects(ask('nextAnchor'), { code: 'arithmetic_crashed' })
    await doomed.close()
  })

  it('close() fails what waits and what comes', async () => {
    const waiting = genesis()
    const rejected = assert.rejects(waiting, { code: 'stopping' })
    await arithmetic.close()
    await rejected
    await assert.rejects(genesis(), { code: 'stopping' })
  })
})
