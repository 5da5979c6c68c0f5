import assert from 'node:assert/strict'
import { ENGINE_NAMES, type EngineName, listEngines, openEngine } from '../../../../training/engines/engine.ts'

describe('listEngines()', () => {
  it('says of each engine whether it works, or why not and what to do', async () => {
    const listings = await listEngines()
    assert.deepEqual(
      listings.map(({ name }) => name),
      [...ENGINE_NAMES]
    )
    for (const { name, available, reason, install } of listings) {
      assert.equal(available, reason === null)
      if (name === 'js' || name === 'wasm' || name === 'traced') assert.ok(available, `${name}: ${reason}`)
      else if (!available) assert.match(install ?? '', name === 'webgpu' ? /driver/ : /npm install/)
    }
  })
})

describe('openEngine()', () => {
  it('takes the best that is present for auto, but no GPU made of software', async () => {
    const best = (await listEngines()).find(({ available, software }) => available && !software)!.name
    const engine = await openEngine('auto', { threads: 1 })
    assert.equal(engine.name, best)
    await engine.dispose()
  })

  it('refuses a name it does not know and a number of threads that is none', async () => {
    await assert.rejects(openEngine('cuda' as EngineName, { threads: 1 }), { code: 'unknown_engine', message: /traced/ })
    await assert.rejects(openEngine('js', { threads: 0 }), { code: 'engine_failed' })
  })
})
