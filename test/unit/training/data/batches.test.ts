import assert from 'node:assert/strict'
import { createBatches } from '../../../../training/data/batches.ts'

const tokens = Int32Array.from({ length: 101 }, (_, i) => i)

describe('createBatches()', () => {
  it('reads every window once an epoch, targets one token ahead', () => {
    const batches = createBatches({ tokens, batch: 5, context: 10, seed: 1 })
    const [one, two] = [batches.next(), batches.next()]
    const inputs = [...one.inputs, ...two.inputs]
    assert.deepEqual(
      inputs.toSorted((a, b) => a - b),
      [...tokens.subarray(0, 100)]
    )
    assert.deepEqual(
      [...one.targets, ...two.targets],
      inputs.map(token => token + 1)
    )
    assert.deepEqual(batches.position(), { epoch: 0, slot: 10, offset: 0 })
    assert.notDeepEqual([...one.inputs], [...tokens.subarray(0, 50)])
  })

  it('begins the next epoch within a batch, in another order', () => {
    const batches = createBatches({ tokens, batch: 1, context: 10, seed: 1 })
    const epoch = () => Array.from({ length: 10 }, () => batches.next().inputs[0])
    const [first, second] = [epoch(), epoch()]
    assert.notDeepEqual(first, second)
    assert.deepEqual(first.toSorted(), second.toSorted())
  })

  it('orders by its seed', () => {
    const first = (seed: number) => [...createBatches({ tokens, batch: 5, context: 10, seed }).next().inputs]
    assert.deepEqual(first(1), first(1))
    assert.notDeepEqual(first(1), first(2))
  })

  it('reads a slot of several windows in order, the last slot being short', () => {
    const batches = createBatches({ tokens, batch: 1, context: 10, seed: 3, slotWindows: 4 })
    const windows = Array.from({ length: 10 }, () => batches.next().inputs[0]! / 10)
    assert.deepEqual(windows.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) // biome-ignore format: one line reads best
    for (let i = 1; i < 10; i++) if (windows[i]! % 4 !== 0) assert.equal(windows[i], windows[i - 1]! + 1)
    assert.equal(batches.tokensPerEpoch(), 100)
  })

  it('refuses a corpus smaller than a window, sizes that cannot be and positions that are none', () => {
    const of = (length: number) => createBatches({ tokens: new Int32Array(length), batch: 1, context: 10, seed: 0 })
    assert.throws(() => of(10), { code: 'corpus_too_small' })
    assert.throws(() => of(0), { code: 'corpus_too_small' })
    assert.throws(() => createBatches({ tokens, batch: 0, context: 10, seed: 0 }), { code: 'bad_batch' })
    const batches = of(21)
    for (const [epoch, slot, offset] of [
      [0, 3, 0],
      [0, 0, 1],
      [-1, 0, 0],
      [0, 0.5, 0],
      [0, 2, 1]
    ] as const) {
      assert.throws(() => batches.seek({ epoch, slot, offset }), { code: 'bad_position' })
    }
  })

  it('keeps as far into its share when slots are dealt anew, and tells a restored reader who had them', () => {
    const shared = { tokens: Int32Array.from({ length: 10_001 }, (_, i) => i), batch: 1, context: 10, seed: 4 }
    const reader = createBatches({ ...shared, assignment: { peer: 'b', contributors: ['a', 'b'] } })
    for (let i = 0; i < 100; i++) reader.next()
    reader.assign(['c', 'a', 'b'])
    const position = reader.position()
    assert.deepEqual(position, { epoch: 0, slot: Math.ceil((100 / 468) * 312), offset: 0, contributors: ['c', 'a', 'b'] })
    const restored = createBatches({ ...shared, assignment: { peer: 'b', contributors: [] } })
    restored.seek(JSON.parse(JSON.stringify(position)))
    assert.deepEqual(restored.next(), reader.next())
  })

  it('goes on where it was in its share and in the reserved slots when it misses a record now and then, also after a restart', () => {
    const windows = 800
    const shared = { tokens: Int32Array.from({ length: windows * 10 + 1 }, (_, i) => i), batch: 1, context: 10, seed: 4 }
    const of = (contributors: string[]) => createBatches({ ...shared, assignment: { peer: 'b', contributors } })
    let reader = of(['a', 'b'])
    const read = { dealt: new Set<number>(), reserved: new Set<number>() }
    for (let round = 0; round < 30; round++) {
      const isDealt = round % 2 === 0
      reader.assign(isDealt ? ['a', 'b'] : ['a'])
      for (let i = 0; i < 20; i++) read[isDealt ? 'dealt' : 'reserved'].add(reader.next().inputs[0]!)
      const position = JSON.parse(JSON.stringify(reader.position()))
      reader = of([])
      reader.seek(position)
    }
    assert.equal(read.dealt.size, 300)
    // All fifty of six epochs, each time reserved in other places.
    assert.ok(read.reserved.size > 200, `${read.reserved.size} different ones`)
  })

  it('takes up a position of a reader that had one place only', () => {
    const shared = { tokens: Int32Array.from({ length: 10_001 }, (_, i) => i), batch: 1, context: 10, seed: 4 }
    const reader = createBatches({ ...shared, assignment: { peer: 'b', contributors: ['a', 'b'] } })
    reader.seek({ epoch: 3, slot: 100, offset: 0, contributors: ['a', 'b'] })
    reader.assign(['a'])
    assert.deepEqual(reader.position(), { epoch: 3, slot: 0, offset: 0, contributors: ['a'], aside: { epoch: 3, slot: 100, slots: 468 } })
    for (const aside of [
      { epoch: 0, slot: 2, slots: 1 },
      { epoch: 0, slot: 0, slots: 0 },
      { epoch: -1, slot: 0, slots: 1 }
    ])
      assert.throws(() => reader.seek({ epoch: 0, slot: 0, offset: 0, contributors: ['a'], aside }), { code: 'bad_position' })
  })
})
