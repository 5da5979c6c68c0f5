// A daemon whose training leads nowhere: what it learned is no training to anybody.
import assert from 'node:assert/strict'
import { testDaemons } from './daemons.ts'

const SPEC = {
  name: 'too-fast',
  model: { family: 'gpt2', layers: 1, width: 32, heads: 2, context: 32, biases: false },
  tokenizer: { kind: 'bytes' },
  data: { corpus: 'private' },
  strategy: { innerSteps: 5, maxStepsAhead: 0, quorum: 1 },
  optimizer: { learningRate: 10, batch: 4 }
}

describe('a run that learns too fast', function () {
  this.timeout(60_000)
  const { start, until } = testDaemons('shoal-diverging-', 30_000)

  it('is named in the status of whoever diverges in it, who contributes nothing', async () => {
    const { control } = await start('author')
    const { run } = await control.createRun({ spec: SPEC })
    await control.joinRun(run, { data: ['sotu:1790-1860'] })
    const row = async () => (await control.status()).runs.find(candidate => candidate.run === run)
    await until(async () => (await row())?.reason?.startsWith('what is learned from this anchor diverges') === true)
    const { round, lastContribution, trainer } = (await row())!
    assert.deepEqual({ round, lastContribution, restarts: trainer.restarts }, { round: 0, lastContribution: null, restarts: 0 })
    const { events } = await control.eventList()
    assert.equal(events.filter(({ code }) => code === 'norm_too_large').length, 1)
  })
})
