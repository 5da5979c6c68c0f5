// A real trainer process under its supervisor, with a model that takes milliseconds.
import assert from 'node:assert/strict'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TrainerReady, TrainerStart } from '../../../../daemon/trainer/messages.ts'
import { TrainerSupervisor } from '../../../../daemon/trainer/supervisor.ts'
import { storedTensor, writeSafetensorsFile } from '../../../../storage/index.ts'
import { initialParameters } from '../../../../training/models/initial-parameters.ts'
import { createModel, type ModelConfig } from '../../../../training/models/model.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const model: ModelConfig = {
  family: 'gpt2',
  vocabulary: 257,
  context: 8,
  width: 8,
  layers: 1,
  heads: 2,
  biases: false,
  tiedEmbeddings: true
}

describe('TrainerSupervisor', function () {
  this.timeout(60_000)
  const home = temporaryHome()

  const start = (): TrainerStart => ({
    directory: join(home(), 'trainer'),
    model,
    tokenizer: { kind: 'bytes', vocabulary: 257, json: null },
    corpus: { sources: [join(home(), 'text.txt')], shared: null },
    optimizer: {
      ...{ learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipNorm: null },
      ...{ schedule: 'constant', warmupSteps: 0, totalSteps: 1000, finalFactor: 1, batch: 2, accumulation: 1 }
    },
    seed: 1,
    engine: 'js',
    threads: 1,
    anchorFile: join(home(), 'anchor.safetensors'),
    firstStep: 7
  })

  async function trainer() {
    const ready = Promise.withResolvers<TrainerReady>()
    const deaths: string[] = []
    const supervisor = new TrainerSupervisor(start, {
      ready: ready.resolve,
      step: () => {},
      waiting: () => {},
      died: reason => deaths.push(reason)
    })
    supervisor.start()
    return { supervisor, deaths, ready: await ready.promise }
  }

  it('sets a damaged state aside, says so, goes on from the anchor, and numbers its snapshots on', async () => {
    writeFileSync(join(home(), 'text.txt'), 'It is a truth universally acknowledged. '.repeat(50))
    const parameters = initialParameters(createModel(model), 1)
    await writeSafetensorsFile(
      start().anchorFile,
      parameters.map(({ name, shape, values }) => storedTensor(name, shape, values))
    )
    const first = await trainer()
    assert.equal((await first.supervisor.snapshot(1)).sequence, 1)
    await first.supervisor.stop()
    const state = join(home(), 'trainer', 'state.safetensors')
    truncateSync(state, 2000)

    const second = await trainer()
    try {
      assert.equal(second.deaths.length, 1)
      assert.match(second.deaths[0]!, /^trainer_state_damaged: .* is set aside as .*state\.safetensors\.damaged; training goes on/)
      assert.equal(readFileSync(`${state}.damaged`).length, 2000)
      assert.deepEqual([second.ready.step, second.ready.snapshot], [7, null])
      assert.equal((await second.supervisor.snapshot(2)).sequence, 2)
    } finally {
      await second.supervisor.stop()
    }
  })

  it('tries again where the system has no process to spare, and stops meanwhile', async () => {
    const { execPath } = process
    const died = Promise.withResolvers<{ reason: string; restartInMs: number }>()
    const supervisor = new TrainerSupervisor(start, {
      ready: () => assert.fail('there is no trainer'),
      step: () => {},
      waiting: () => {},
      died: (reason, _, restartInMs) => died.resolve({ reason, restartInMs })
    })
    // As with EAGAIN: the child says that it could not be made, and never exits.
    process.execPath = join(home(), 'no-such-program')
    try {
      supervisor.start()
      const { reason, restartInMs } = await died.promise
      assert.match(reason, /ENOENT/)
      assert.ok(restartInMs > 0)
      supervisor.start()
      await supervisor.stop()
      assert.equal(supervisor.pid, null)
    } finally {
      process.execPath = execPath
    }
  })
})
