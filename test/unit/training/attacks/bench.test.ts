// The attack table at its smallest: real training, few steps.
import assert from 'node:assert/strict'
import { benchAttacks } from '../../../../training/attacks/bench.ts'

const TEXT = 'It is a little colder than it was, and the harbour is full of herring. '

describe('benchAttacks()', function () {
  this.timeout(180_000)
  const texts = { shards: [1, 2, 3, 4].map(node => [TEXT.repeat(8).slice(node)]), heldOut: [TEXT] }
  const options = {
    ...{
      nodes: 4,
      attacks: ['loudNoise', 'labelFlip'].map(name => ({ name, fraction: 0.3 })),
      aggregations: ['mean', 'median'],
      rounds: 3,
      innerSteps: 3
    },
    ...{ seeds: [1], outer: { name: 'averaging' as const }, engine: 'traced' as const, threads: 1 }
  }

  it('compares every rule under every attack with the clean run, the same each time', async () => {
    const told: string[] = []
    const report = await benchAttacks({ ...options, onProgress: line => told.push(line) }, texts)
    assert.deepEqual(
      report.rows.map(({ attack, attackers }) => [attack, attackers]),
      [
        [null, 0],
        ['loudNoise', 1],
        ['labelFlip', 1]
      ]
    )
    const [nobody, noise] = report.rows
    assert.deepEqual(nobody!.rules.mean, { natsPerByte: report.clean, aboveClean: 0 })
    assert.equal(report.clean.length, 1)
    // Sixteen times the anchor's norm in any direction ruins a mean; a median of four, one of them loud, stands it.
    assert.ok(noise!.rules.mean!.aboveClean === null || noise!.rules.mean!.aboveClean > 1)
    assert.ok(noise!.rules.median!.aboveClean! < 0.1)
    assert.equal(told.length, 2 + 1 + 2 * 2)
    const again = await benchAttacks({ ...options, attacks: [], aggregations: ['mean'] }, texts)
    assert.deepEqual(again.clean, report.clean)
  })

  it('refuses what it does not know', async () => {
    for (const change of [{ attacks: [{ name: 'kindness', fraction: 0.3 }] }, { aggregations: ['mode'] }])
      await assert.rejects(benchAttacks({ ...options, ...change }, texts), { code: 'bad_attack' })
  })
})
