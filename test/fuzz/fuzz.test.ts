// Some two thousand inputs for each decoder of bytes from outside; `npm run fuzz` runs as many as are wanted.
import assert from 'node:assert/strict'
import { DECODERS } from './decoders.ts'
import { Fuzzer } from './judge.ts'

const COUNT = Number(process.env.SHOAL_FUZZ_COUNT ?? 2_000)
const SEED = Number(process.env.SHOAL_FUZZ_SEED ?? 1)

describe('every decoder of bytes from outside', function () {
  this.timeout(120_000)
  for (const decoder of DECODERS) {
    it(`${decoder.name} reads what it can write again, or refuses with a code`, async () => {
      const fuzzer = await Fuzzer.open(decoder, SEED)
      const outcomes = new Set<string>()
      for (let n = 0; n < (decoder.isSlow ? COUNT / 10 : COUNT); n++) {
        const bytes = fuzzer.input(n)
        const { outcome, fault } = await fuzzer.judge(bytes)
        if (outcome === null) {
          const hex = Buffer.from(bytes.subarray(0, 400)).toString('hex')
          assert.fail(`${decoder.name}, seed ${SEED}, input ${n} (${bytes.length} bytes, ${hex}): ${fault}`)
        }
        outcomes.add(outcome)
      }
      // Mutations that never pass, or never fail, test nothing.
      assert.ok(outcomes.size > 1, `only ${[...outcomes].join()}`)
    })
  }
})
