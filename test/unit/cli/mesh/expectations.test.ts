import assert from 'node:assert/strict'
import { compared } from '../../../../cli/mesh/baseline.ts'
import { demoScenario } from '../../../../cli/mesh/demo.ts'
import { judgeExpectations } from '../../../../cli/mesh/expectations.ts'
import { emptyReport } from '../../../../cli/mesh/report.ts'
import { type Expectation, scenarioOf } from '../../../../cli/mesh/scenario.ts'
import { loadSpec, loneSpec } from '../../../../cli/mesh/spec.ts'

const outcome = (anchors: (string | null)[], mesh: number | null = null, alone: number[] | null = null) => ({
  heads: anchors.map((anchor, position) => ({ index: position + 1, head: anchor, anchor })),
  heldOut: mesh === null ? null : { unit: 'nats/byte' as const, mesh, alone, rates: null },
  stepsLeft: []
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
