import assert from 'node:assert/strict'
import { compared } from '../../../../cli/mesh/baseline.ts'
import { demoScenario } from '../../../../cli/mesh/demo.ts'
import { type Expectation, judgeExpectations, type Outcome } from '../../../../cli/mesh/expectations.ts'
import { emptyReport } from '../../../../cli/mesh/report.ts'
import { scenarioOf } from '../../../../cli/mesh/scenario.ts'
import { loadSpec, loneSpec } from '../../../../cli/mesh/spec.ts'

const contributions = { offered: 4, lost: [] }
const nothing = { stepsLeft: [], gaps: [], times: null, contributions, ghosts: [], deaths: 1, memory: [], told: new Map() }
const outcome = (anchors: (string | null)[], mesh: number | null = null, alone: number[] | null = null): Outcome => ({
  ...nothing,
  heads: anchors.map((anchor, position) => ({ index: position + 1, head: anchor, anchor })),
  heldOut: mesh === null ? null : { unit: 'nats/byte' as const, mesh, alone, rates: null }
})
const holds = (expectation: Expectation, ...given: Parameters<typeof outcome>): boolean =>
  judgeExpectations([expectation], outcome(...given))[0]!.ok

describe('judgeExpectations()', () => {
  it('equalAnchors wants one known head on every node', () => {
    const equal: Expectation = { name: 'equalAnchors' }
    assert.equal(holds(equal, ['a', 'a']), true)
    assert.equal(holds(equal, ['a', 'b']), false)
    assert.equal(holds(equal, [null, null]), false)
    assert.equal(holds(equal, []), false)
  })

  it('heldOutBelow wants less than the limit', () => {
    assert.deepEqual(
      [2.4, 2.5, null].map(mesh => holds({ name: 'heldOutBelow', limit: 2.5 }, ['a'], mesh)),
      [true, false, false]
    )
  })

  it('meshBelowAlone wants less than the best lone node', () => {
    assert.equal(holds({ name: 'meshBelowAlone' }, ['a'], 2.1, [2.3, 2.2]), true)
    assert.equal(holds({ name: 'meshBelowAlone' }, ['a'], 2.25, [2.3, 2.2]), false)
  })

  it('meshBelowAlone holds a lone node to the best of its rates', () => {
    const lone = (learningRate: number, heldOut: number) => ({ learningRate, shard: 1, heldOut })
    const heldOut = compared(2.25, [lone(2e-3, 2.3), lone(5e-3, 2.2)])
    const [row] = judgeExpectations([{ name: 'meshBelowAlone' }], { ...outcome(['a']), heldOut })
    assert.deepEqual(row, { name: 'meshBelowAlone', ok: false, got: 2.25, want: 2.2 })
  })

  it('roundsWithin holds the longest wait to a time, or to what the run allows', () => {
    const gaps = [
      { node: 1, round: 3, seconds: 12 },
      { node: 2, round: 5, seconds: 14 }
    ]
    const times = { deadlineMs: 8000, graceMs: 1000, fetchTimeoutMs: 4000 }
    const row = (ms: number | null, graces: number) =>
      judgeExpectations([{ name: 'roundsWithin', ms, graces }], { ...outcome([]), gaps, times })[0]!
    assert.deepEqual([row(14_000, 0).ok, row(13_999, 0).ok], [true, false])
    assert.deepEqual([row(null, 2).ok, row(null, 1).ok], [true, false])
    assert.deepEqual([row(null, 1).got, row(null, 1).want], [gaps[1], { seconds: 13 }])
    const none = judgeExpectations([{ name: 'roundsWithin', ms: 1, graces: 0 }], outcome([]))
    assert.equal(none[0]!.ok, false, 'where no node was left alone nothing is shown')
  })

  it('ghostsWithin, nothingLost and tells name what is wrong', () => {
    const ghost = { of: 3, on: 1, seconds: 21, isListed: false }
    const lost = { offered: 4, lost: [{ node: 2, round: 4, cid: 'b', told: 'lost' as const }] }
    const left = { ...outcome([]), ghosts: [ghost], contributions: lost, told: new Map([[5, new Set(['disk_full'])]]) }
    const expect: Expectation[] = [
      { name: 'ghostsWithin', ms: 20_000 },
      { name: 'nothingLost' },
      { name: 'tells', codes: { 5: ['disk_full'], 6: ['block_corrupted'] } }
    ]
    assert.deepEqual(
      judgeExpectations(expect, left).map(({ ok, got }) => [ok, got]),
      [
        [false, [ghost]],
        [false, lost],
        [false, { missing: [{ node: '6', code: 'block_corrupted' }] }]
      ]
    )
    assert.deepEqual(
      judgeExpectations(expect.slice(0, 2), outcome([])).map(({ ok }) => ok),
      [true, true]
    )
  })

  it('tells takes the word of either node where chance says which it is', () => {
    const told = new Map([
      [1, new Set(['peer_silent'])],
      [5, new Set(['peer_silent', 'fork_switched'])]
    ])
    const row = (...nodes: string[]) => {
      const codes = Object.fromEntries(nodes.map(node => [node, ['fork_switched']]))
      return judgeExpectations([{ name: 'tells', codes }], { ...outcome([]), told })[0]!
    }
    assert.deepEqual([row('1|5').ok, row('5|6').ok], [true, true])
    assert.deepEqual(row('1|2').got, { missing: [{ node: '1|2', code: 'fork_switched' }] })
  })

  it('ghostsWithin does not hold where nobody died', () => {
    const [row] = judgeExpectations([{ name: 'ghostsWithin', ms: 20_000 }], { ...outcome([]), deaths: 0 })
    assert.deepEqual(row, { name: 'ghostsWithin', ok: false, got: 'no node died', want: { seconds: 20 } })
  })

  it('ghostsWithin does not hold where the end came before a dead one was seen to go', () => {
    const ghostsWithin = (isListed: boolean): boolean =>
      judgeExpectations([{ name: 'ghostsWithin', ms: 20_000 }], { ...outcome([]), ghosts: [{ of: 3, on: 1, seconds: 5, isListed }] })[0]!.ok
    assert.deepEqual([ghostsWithin(false), ghostsWithin(true)], [true, false])
  })

  it('nothingLost does not hold where no contribution was heard of', () => {
    const silent = { ...outcome(['a']), contributions: { offered: 0, lost: [] } }
    assert.equal(judgeExpectations([{ name: 'nothingLost' }], silent)[0]!.ok, false)
  })

  it('memoryGrowthBelow looks at the growth after its time, on every node', () => {
    const grows = (index: number, perHour: number) => ({
      index,
      samples: Array.from({ length: 60 }, (_, minute) => ({
        seconds: minute * 60,
        resident: 100 + (minute < 10 ? minute * 5 : 50 + (perHour * (minute - 10)) / 60),
        heap: 20,
        external: 5
      }))
    })
    const holdsFor = (...memory: ReturnType<typeof grows>[]): boolean =>
      judgeExpectations([{ name: 'memoryGrowthBelow', megabytesAnHour: 1, afterMs: 600_000 }], { ...outcome([]), memory })[0]!.ok
    assert.deepEqual([holdsFor(grows(1, 0.5), grows(2, 0.9)), holdsFor(grows(1, 0.5), grows(2, 1.1)), holdsFor()], [true, false, false])
  })

  it('a step that never came is a row that fails', () => {
    const [step] = scenarioOf({ nodes: 2, steps: [{ at: { round: 1 }, do: 'kill', node: 2 }] }).steps
    const rows = judgeExpectations([], { ...outcome(['a']), stepsLeft: [step!] })
    assert.deepEqual(
      rows.map(({ name, ok }) => ({ name, ok })),
      [{ name: 'stepsDone', ok: false }]
    )
  })
})

describe('the report', () => {
  it('has its documented fields from the beginning', () => {
    assert.deepEqual(Object.keys(emptyReport()), [
      'schema',
      'ok',
      'reason',
      'seconds',
      'firstRoundSeconds',
      'rounds',
      'nodes',
      'heldOut',
      'expect',
      'faults',
      'stepsLeftOut',
      'gaps',
      'ghosts',
      'memory',
      'checkpoint'
    ])
  })
})

describe('the built-in scenario', () => {
  it('is valid at every size and kills where there is somebody to kill', () => {
    for (const [nodes, rounds, steps] of [
      [1, 1, 0],
      [2, 10, 0],
      [3, 3, 0],
      [4, 10, 2]
    ] as const) {
      assert.equal(scenarioOf(demoScenario(nodes, rounds)).steps.length, steps)
    }
  })
})

describe('loadSpec()', () => {
  it("lays seed and settings over the demo's description and leaves the original alone", async () => {
    const load = async (seed: number | null, set: Record<string, unknown>) => await loadSpec({ run: 'demo', seed, set }, '.')
    const { spec, isPrivate } = await load(7, { 'optimizer.learningRate': 1e-3, 'strategy.codec': { name: 'f32' }, 'new.one': 1 })
    const value = spec as { seed: number; optimizer: { learningRate: number }; strategy: { codec: object }; new: object }
    assert.deepEqual([value.seed, value.optimizer.learningRate, value.strategy.codec, value.new], [7, 1e-3, { name: 'f32' }, { one: 1 }])
    assert.equal(isPrivate, true)
    assert.equal(((await load(null, {})).spec as typeof value).seed, 1)
    await assert.rejects(load(null, { '__proto__.x': 1 }), { code: 'bad_scenario' })
  })

  it('names a manifest that is not there', async () => {
    await assert.rejects(loadSpec({ run: 'none.yaml', seed: null, set: {} }, '/tmp'), { code: 'file_unreadable' })
  })

  it('loneSpec() is the same run for one node', () => {
    const spec = loneSpec({ name: 'x', strategy: { innerSteps: 9, codec: { name: 'int8' }, quorum: 2 } }) as {
      strategy: Record<string, unknown>
    }
    assert.equal(spec.strategy.quorum, 1)
    assert.equal(spec.strategy.innerSteps, 9)
    assert.equal(spec.strategy.maxStepsAhead, 0, 'a round has exactly its inner steps')
  })

  it('loneSpec() replaces the inner rate and leaves the rest of the optimizer', () => {
    const optimizer = { name: 'adamw', learningRate: 5e-3, batch: 4 }
    assert.deepEqual(loneSpec({ name: 'x', optimizer }).optimizer, optimizer)
    assert.deepEqual(loneSpec({ name: 'x', optimizer }, 1e-3).optimizer, { ...optimizer, learningRate: 1e-3 })
  })
})
