// A daemon that is told of a run before anybody it can reach has it.
import assert from 'node:assert/strict'
import { testDaemons } from './daemons.ts'
import { lastingAddress } from './lasting-address.ts'

const SPEC = {
  name: 'late',
  model: { family: 'gpt2', layers: 1, width: 32, heads: 2, context: 32, biases: false },
  tokenizer: { kind: 'bytes' },
  data: { corpus: 'private' },
  strategy: { innerSteps: 5, maxStepsAhead: 0 },
  optimizer: { learningRate: 5e-3, batch: 4 }
}

describe('a run named at the start', function () {
  this.timeout(120_000)
  const { start, until } = testDaemons('shoal-late-run-', 60_000)

  it('is joined when somebody has it, is said to be waited for once, and is given up where it is refused for good', async () => {
    const listen = await lastingAddress()
    const author = await start('author', { listen })
    const { run } = await author.control.createRun({ spec: SPEC })
    const [address] = author.daemon.ready.addresses
    await author.daemon.stop()

    const early = await start('early', { run, data: ['sotu:1790-1860'], bootstrap: address })
    const without = await start('without', { run, bootstrap: address })
    const rowOf = async ({ control }: typeof early) => (await control.status()).runs.find(row => row.run === run)
    await until(async () => (await rowOf(early))?.reason?.includes('connected to nobody') === true)
    assert.equal((await rowOf(early))?.state, 'joining')

    await start('author', { listen })
    await until(async () => ['training', 'waiting'].includes((await rowOf(early))?.state ?? ''))
    const { events } = await early.control.eventList()
    const waits = events.filter(event => event.run === run && event.message?.startsWith('not joined yet'))
    assert.equal(new Set(waits.map(({ code }) => code)).size, waits.length)
    assert.equal(waits[0]?.code, 'no_peers')

    await until(async () => (await without.control.status()).health.some(({ code }) => code === 'join_failed'))
    assert.equal(await rowOf(without), undefined)
    const refused = (await without.control.eventList()).events.filter(event => event.run === run).at(-1)
    assert.equal(refused?.code, 'data_missing')
  })
})
