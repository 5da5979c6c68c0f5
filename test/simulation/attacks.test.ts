// The rules of rounds, attacked one by one: what the honest still get done is written beside each attack.
import assert from 'node:assert/strict'
import { ATTACKS, survive } from './attacks.ts'
import { FLOODS } from './floods.ts'

/** SHOAL_SIM_SEEDS=100 lives through that many of each. */
const SEEDS = Number(process.env.SHOAL_SIM_SEEDS ?? 1)

describe('the round rules under attack', function () {
  this.timeout(60_000 * SEEDS)

  for (const attack of ATTACKS) {
    it(`${attack.name}: the others go on`, () => {
      for (const seed of new Set([...Array(SEEDS).keys(), ...(attack.kept ?? [])])) {
        const problems = survive(attack, seed)
        assert.deepEqual(problems, [], `seed ${seed}: ${problems[0]}`)
      }
    })
  }

  for (const { name, run } of FLOODS) {
    it(`${name}: what is remembered stays bounded, and members are heard`, () => assert.deepEqual(run(), []))
  }
})
