// What a trainer computes with where several engines could be the fastest; the home remembers what was measured.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openChosen } from '../../../../daemon/trainer/chosen-engine.ts'
import { VERSION } from '../../../../daemon/version.ts'
import { createModel } from '../../../../training/models/model.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const options = {
  ...{ batch: 2, context: 8, accumulation: 1 },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipNorm: null }
}
const model = createModel({
  ...{ family: 'gpt2', vocabulary: 31, context: 8, width: 8, layers: 1, heads: 2 },
  ...{ biases: false, tiedEmbeddings: true }
})
const workload = { model, options, threads: 1 }

describe('openChosen()', function () {
  this.timeout(60_000)
  const home = temporaryHome()
  /** @param among what could be the fastest here */
  const open = async (asked: string, without: string[], among?: ('traced' | 'wasm')[]) => {
    const tried: (string | null)[] = []
    const choice = { without, onTry: (engine: string | null) => tried.push(engine), ...(among && { among: async () => among }) }
    const { engine, why } = await openChosen({ engine: asked, directory: home() }, workload, choice)
    await engine.dispose()
    return { engine: engine.name, why, tried }
  }

  it('opens what was asked for, and what is left where that was given up', async () => {
    assert.deepEqual(await open('wasm', []), { engine: 'wasm', why: 'asked for', tried: ['wasm'] })
    const other = await open('wasm', ['wasm'], ['traced'])
    assert.deepEqual([other.engine, other.why], ['traced', 'nothing that could be faster works here; given up: wasm'])
    await assert.rejects(open('tfjs-node', []), { code: 'engine_unavailable' })
    await assert.rejects(open('auto', [], []), { code: 'engine_unavailable' })
  })

  it('measures once where several could be the fastest, and again when anything is different', async () => {
    const first = await open('auto', [], ['wasm', 'traced'])
    assert.match(first.why, /^(traced|wasm), \d+\.\dx as fast as (traced|wasm) \(.* ms a step\)$/)
    assert.deepEqual(first.tried, ['wasm', 'traced', first.engine])
    const second = await open('auto', [], ['wasm', 'traced'])
    assert.deepEqual(second, { ...first, tried: [first.engine] })
    const file = join(home(), 'engines.json')
    writeFileSync(file, readFileSync(file, 'utf8').replace(`\\"shoal\\":\\"${VERSION}\\"`, '\\"shoal\\":\\"0.0.0\\"'))
    assert.equal((await open('auto', [], ['wasm', 'traced'])).tried.length, 3)
    writeFileSync(file, 'null')
    assert.equal((await open('auto', [], ['wasm', 'traced'])).tried.length, 3)
  })

  it('measures again where what it remembers makes no sense, and goes on where it cannot remember', async () => {
    await open('auto', [], ['wasm', 'traced'])
    const file = join(home(), 'engines.json')
    const { of } = JSON.parse(readFileSync(file, 'utf8'))
    const lies = [
      null,
      {},
      [],
      [null],
      [{ engine: 'wasm' }],
      [{ engine: 'wasm', stepMs: -1 }],
      [{ engine: 'abacus', stepMs: 1 }],
      [{ engine: 'js', stepMs: 1 }]
    ]
    for (const measured of lies) {
      writeFileSync(file, JSON.stringify({ of, measured }))
      assert.equal((await open('auto', [], ['wasm', 'traced'])).tried.length, 3, JSON.stringify(measured))
    }
    rmSync(file)
    mkdirSync(join(file, 'in-the-way'), { recursive: true })
    assert.equal((await open('auto', [], ['wasm', 'traced'])).tried.length, 3)
  })
})
