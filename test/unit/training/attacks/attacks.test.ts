// What each attacker sends, by the numbers of the literature.
import assert from 'node:assert/strict'
import { ATTACK_NAMES, alieDeviations, createAttack, type Scene } from '../../../../training/attacks/attacks.ts'
import { createRandom } from '../../../../training/data/random.ts'
import { deltaNorm } from '../../../../training/outer/index.ts'

const scene = (more: Partial<Scene> = {}): Scene => ({
  good: [Float32Array.of(1, 4), Float32Array.of(3, 4)],
  own: Float32Array.of(3, -4),
  nodes: 5,
  attackers: 2,
  normMax: 1e9,
  random: createRandom('test'),
  ...more
})
const send = (name: string, more?: Partial<Scene>) => [...createAttack(name).send(scene(more))]
const normOf = (values: readonly number[]) => deltaNorm([{ values: Float32Array.from(values) }])

describe('the attacks', () => {
  it('send what their papers say', () => {
    assert.deepEqual(send('signFlip'), [-3, 4])
    assert.deepEqual(send('labelFlip'), [3, -4])
    assert.deepEqual(
      send('ipm'),
      [2, 4].map(value => Math.fround(-0.1 * value))
    )
    assert.deepEqual(send('ipm:0.5'), [-1, -2])
    // Three honest times the mean, and two of these: nothing is left.
    assert.deepEqual(send('standstill'), [-3, -6])
    const z = alieDeviations(5, 2)
    assert.deepEqual(send('alie'), [Math.fround(2 - z), 4])
  })

  it('ALIE keeps as many deviations away as ROBUSTNESS has it', () => {
    for (const [nodes, attackers, z] of [
      [25, 5, 0.2533],
      [25, 11, 1.0676],
      [16, 7, 0.7647],
      [16, 3, 0.0966]
    ] as const)
      assert.ok(Math.abs(alieDeviations(nodes, attackers) - z) < 1e-4)
  })

  it('noise is as loud as the honest are, and loud attacks as loud as the checks allow', () => {
    const usual = (Math.hypot(1, 4) + Math.hypot(3, 4)) / 2
    assert.ok(Math.abs(normOf(send('noise')) - usual) < 1e-5)
    assert.ok(Math.abs(normOf(send('loudNoise')) / usual - 1000) < 1e-2)
    assert.ok(Math.abs(normOf(send('loudNoise', { normMax: 70 })) - 69.3) < 1e-3)
    assert.ok(Math.abs(normOf(send('loudSignFlip')) - 5000) < 1e-2)
    assert.ok(Math.abs(normOf(send('loudSignFlip', { normMax: 70 })) - 69.3) < 1e-3)
  })

  it('are known by name', () => {
    for (const name of ATTACK_NAMES) assert.equal(createAttack(name).name, name)
    for (const name of ['kindness', 'ipm:', 'ipm:-1', 'ipm:x', 'alie:2']) assert.throws(() => createAttack(name), { code: 'bad_attack' })
  })
})
