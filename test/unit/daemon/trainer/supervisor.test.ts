// A real trainer process under its supervisor, with a model that takes milliseconds.
import assert from 'node:assert/strict'
import { execFileSync, fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import type { Death } from '../../../../daemon/trainer/deaths.ts'
import type { TrainerReady, TrainerReport, TrainerStart } from '../../../../daemon/trainer/messages.ts'
import { RECOVERY_RULES, type RecoveryRules } from '../../../../daemon/trainer/recovery.ts'
import { type Next, TrainerSupervisor } from '../../../../daemon/trainer/supervisor.ts'
import { floatsOf, readSafetensorsFile, storedTensor, writeSafetensorsFile } from '../../../../storage/index.ts'
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
  this.timeout(120_000)
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

  async function writeInputs(of = model): Promise<void> {
    writeFileSync(join(home(), 'text.txt'), 'It is a truth universally acknowledged. '.repeat(50))
    const parameters = initialParameters(createModel(of), 1)
    await writeSafetensorsFile(
      start().anchorFile,
      parameters.map(({ name, shape, values }) => storedTensor(name, shape, values))
    )
  }

  /** A supervised trainer with all that it told. */
  function trainer(changes: Partial<TrainerStart> = {}, rules: Partial<RecoveryRules> = {}) {
    const deaths: (Death & Next)[] = []
    const readies: TrainerReady[] = []
    const unsaved: Death[] = []
    const told: string[] = []
    let steps = 0
    const supervisor = new TrainerSupervisor(
      () => ({ ...start(), ...changes }),
      {
        ready: ready => readies.push(ready),
        step: ({ stepsSinceSnapshot }) => {
          steps++
          told.push(`step ${stepsSinceSnapshot}`)
        },
        waiting: () => {},
        snapshotted: () => told.push('snapshot'),
        died: (death, next) => deaths.push({ ...death, ...next }),
        stoppedUnsaved: death => unsaved.push(death)
      },
      { ...RECOVERY_RULES, restartWaitsMs: [50], ...rules }
    )
    supervisor.start()
    return { supervisor, deaths, unsaved, readies, told, steps: () => steps }
  }

  const until = async (condition: () => boolean) => {
    for (const limit = performance.now() + 50_000; !condition(); await new Promise(resolve => setTimeout(resolve, 5)))
      assert.ok(performance.now() < limit, `not so in time: ${condition}`)
  }

  /** What a trainer leaves that began at the anchor and was stopped at once. */
  async function savedState() {
    await writeInputs()
    const { supervisor, readies } = trainer()
    await until(() => readies.length === 1)
    await supervisor.stop()
    const state = join(home(), 'trainer', 'state.safetensors')
    return { state, ...(await readSafetensorsFile(state)) }
  }

  it('tells of a snapshot before the steps that follow it, also where this process was too busy to hear any of them', async () => {
    await writeInputs()
    const { supervisor, told } = trainer()
    supervisor.allow(3)
    await until(() => told.length === 3)
    const answered = supervisor.snapshot(8)
    await new Promise(resolve => setTimeout(resolve, 1))
    for (const busyUntil = performance.now() + 500; performance.now() < busyUntil; );
    await answered
    await until(() => told.length === 7)
    await supervisor.stop()
    assert.deepEqual(told, ['step 1', 'step 2', 'step 3', 'snapshot', 'step 1', 'step 2', 'step 3'])
  })

  it('reads the share of the newest record also where its state is older', async () => {
    await writeInputs()
    const of = (contributors: string[]) => trainer({ corpus: { ...start().corpus, shared: { peer: 'b', contributors } } })
    const savedBy = async ({ supervisor, readies }: ReturnType<typeof trainer>) => {
      await until(() => readies.length === 1)
      await supervisor.stop()
      const { metadata } = await readSafetensorsFile(join(start().directory, 'state.safetensors'))
      return JSON.parse(metadata.shoal!).trainer.position.contributors
    }
    assert.deepEqual(await savedBy(of(['a', 'b'])), ['a', 'b'])
    assert.deepEqual(await savedBy(of(['a', 'b', 'c'])), ['a', 'b', 'c'])
  })

  it('sets a damaged state aside, says so, goes on from the anchor, and numbers its snapshots on', async () => {
    await writeInputs()
    const first = trainer()
    await until(() => first.readies.length === 1)
    assert.equal((await first.supervisor.snapshot(1)).sequence, 1)
    await first.supervisor.stop()
    const state = join(home(), 'trainer', 'state.safetensors')
    truncateSync(state, 2000)

    const second = trainer()
    try {
      await until(() => second.readies.length === 1)
      assert.deepEqual(
        second.deaths.map(({ code, blame, givenUp }) => ({ code, blame, givenUp })),
        [{ code: 'trainer_state_damaged', blame: null, givenUp: null }]
      )
      assert.match(second.deaths[0]!.reason, / is set aside as .*state\.safetensors\.damaged; training goes on/)
      assert.equal(readFileSync(`${state}.damaged`).length, 2000)
      assert.deepEqual([second.readies[0]!.step, second.readies[0]!.snapshot], [7, null])
      assert.equal((await second.supervisor.snapshot(2)).sequence, 2)
    } finally {
      await second.supervisor.stop()
    }
  })

  it('sets aside a state that can be read and not be resumed from, and blames no engine for it', async () => {
    const { state, metadata, tensors } = await savedState()
    const facts = JSON.parse(metadata.shoal!)
    const { position } = facts.trainer
    const notNumbers = tensors.map(tensor =>
      tensor.name.startsWith('local/')
        ? storedTensor(
            tensor.name,
            tensor.shape,
            floatsOf(tensor).map(() => Number.NaN)
          )
        : tensor
    )
    for (const [said, held] of [
      [undefined, tensors],
      ['null', tensors],
      [JSON.stringify({ ...facts, trainer: { ...facts.trainer, position: undefined } }), tensors],
      [JSON.stringify({ ...facts, trainer: { ...facts.trainer, version: 2 } }), tensors],
      [
        JSON.stringify({ ...facts, trainer: { ...facts.trainer, position: { ...position, aside: { epoch: 0, slot: 2, slots: 1 } } } }),
        tensors
      ],
      [metadata.shoal!, tensors.filter(({ name }) => !name.startsWith('adam.'))],
      [metadata.shoal!, tensors.slice(1)],
      [metadata.shoal!, notNumbers]
    ] as [string | undefined, typeof tensors][]) {
      await writeSafetensorsFile(state, held, said === undefined ? {} : { shoal: said })
      const next = trainer()
      try {
        await until(() => next.readies.length === 1 || next.deaths.length > 1)
        assert.deepEqual(
          next.deaths.map(({ code, blame, givenUp }) => ({ code, blame, givenUp })),
          [{ code: 'trainer_state_damaged', blame: null, givenUp: null }],
          said
        )
        assert.equal(next.readies[0]!.step, 7)
      } finally {
        await next.supervisor.stop()
      }
    }
  })

  it('sets aside a state that leads to what is no number before it led to a snapshot', async () => {
    const { state, metadata, tensors } = await savedState()
    // One bit of one weight: the loss of the first step is a number still, its gradients are none.
    const rotten = tensors.map(tensor => {
      const values = floatsOf(tensor)
      if (tensor.name === 'local/transformer.h.0.mlp.c_fc.weight') values[0] = 6.8e36
      return storedTensor(tensor.name, tensor.shape, values)
    })
    await writeSafetensorsFile(state, rotten, { shoal: metadata.shoal! })
    const next = trainer()
    try {
      next.supervisor.allow(8)
      await until(() => next.readies.length > 1 || next.deaths.length > 1)
      assert.deepEqual(
        next.deaths.map(({ code }) => code),
        ['trainer_state_damaged']
      )
      assert.equal(next.readies.at(-1)!.step, 7)
    } finally {
      await next.supervisor.stop()
    }
  })

  it('begins the epoch again of a text that became shorter, with all that it has learned', async () => {
    await writeInputs()
    const opened = async (stepsWanted: number) => {
      const next = trainer()
      next.supervisor.allow(stepsWanted)
      await until(() => next.readies.length === 1 && next.steps() === stepsWanted)
      await next.supervisor.stop()
      assert.deepEqual(next.deaths, [])
      const { step, epochAgain } = next.readies[0]!
      return { step, epochAgain, tensors: (await readSafetensorsFile(join(start().directory, 'state.safetensors'))).tensors }
    }
    const before = await opened(3)
    writeFileSync(join(home(), 'text.txt'), 'It is a truth universally acknowledged.')
    const after = await opened(0)
    assert.deepEqual([before.epochAgain, after.epochAgain, after.step], [false, true, 10])
    assert.deepEqual(after.tensors, before.tensors)
    assert.equal((await opened(0)).epochAgain, false)
  })

  it('ends a trainer that has diverged when a snapshot is asked, and leaves nothing of it on disk', async () => {
    await writeInputs()
    const { supervisor, deaths, told } = trainer({ optimizer: { ...start().optimizer, learningRate: 1e300 } })
    try {
      supervisor.allow(1)
      await until(() => told.length === 1)
      await assert.rejects(supervisor.snapshot(1), { code: 'trainer_failed', message: /^non_finite: / })
      await until(() => deaths.length === 1)
      const { code, blame } = deaths[0]!
      assert.deepEqual({ code, blame }, { code: 'non_finite', blame: null })
      assert.deepEqual(readdirSync(start().directory), [])
    } finally {
      await supervisor.stop()
    }
  })

  it('goes back to an anchor that it has adopted before, without what it learned since', async () => {
    await writeInputs()
    const { supervisor, told } = trainer()
    try {
      await supervisor.adopt(start().anchorFile, 'record', 'shift')
      supervisor.allow(3)
      await until(() => told.length === 3)
      await supervisor.snapshot(1)
      await until(() => told.length === 6)
      supervisor.allow(0)
      await supervisor.adopt(start().anchorFile, 'record', 'leave')
      const { tensors } = await readSafetensorsFile(join(start().directory, 'state.safetensors'))
      const valuesOf = (name: string) => floatsOf(tensors.find(tensor => tensor.name === name)!)
      for (const { name } of (await readSafetensorsFile(start().anchorFile)).tensors)
        assert.deepEqual(valuesOf(`local/${name}`), valuesOf(`base/${name}`))
    } finally {
      await supervisor.stop()
    }
  })

  it('says by its own code that a change cannot be put back, and lives on', async () => {
    await writeInputs()
    const { supervisor, deaths } = trainer()
    try {
      const { tensors } = await readSafetensorsFile(start().anchorFile)
      const file = join(home(), 'sent-1.safetensors')
      const values = tensors.map(({ name, shape, bytes }) => storedTensor(name, shape, new Float32Array(bytes.length / 4).fill(Number.NaN)))
      await writeSafetensorsFile(file, values)
      await assert.rejects(supervisor.restore(1, file), { code: 'non_finite_delta' })
      assert.equal((await supervisor.snapshot(1)).sequence, 1)
      assert.deepEqual(deaths, [])
    } finally {
      await supervisor.stop()
    }
  })

  it('does not say that a change is put back before the disk has it', async () => {
    await writeInputs()
    const { supervisor, readies } = trainer()
    try {
      await until(() => readies.length === 1)
      const state = join(start().directory, 'state.safetensors')
      mkdirSync(join(state, 'in the way'), { recursive: true })
      for (const _ of ['first', 'again']) await assert.rejects(supervisor.restore(5, start().anchorFile), { code: 'trainer_failed' })
      rmSync(state, { recursive: true })
      await supervisor.restore(5, start().anchorFile)
      const { metadata, tensors } = await readSafetensorsFile(state)
      assert.deepEqual(JSON.parse(metadata.shoal!).restored, [5])
      // Once: the anchor less the anchor.
      for (const tensor of tensors.filter(({ name }) => name.startsWith('local/'))) assert.ok(floatsOf(tensor).every(value => value === 0))
    } finally {
      await supervisor.stop()
    }
  })

  it('tells of a stop that saved nothing, with its cause, and of no other', async () => {
    await writeInputs()
    const fails = trainer()
    await until(() => fails.readies.length === 1)
    const state = join(start().directory, 'state.safetensors')
    mkdirSync(join(state, 'in the way'), { recursive: true })
    await fails.supervisor.stop()
    rmSync(state, { recursive: true })
    assert.deepEqual([fails.unsaved.map(({ code }) => code), fails.deaths], [['io_error'], []])
    assert.match(fails.unsaved[0]!.reason, /state\.safetensors/)

    const killed = trainer()
    await until(() => killed.readies.length === 1)
    const { pid } = killed.supervisor
    process.kill(pid!, 'SIGSTOP')
    const stopped = killed.supervisor.stop()
    process.kill(pid!, 'SIGKILL')
    await stopped
    assert.deepEqual([killed.unsaved.map(({ signal }) => signal), killed.deaths], [['SIGKILL'], []])

    const clean = trainer()
    await until(() => clean.readies.length === 1)
    await clean.supervisor.stop()
    assert.deepEqual([clean.unsaved, clean.deaths], [[], []])
  })

  it('has its trainer save and end when it is asked to, whatever signal the whole group gets meanwhile', async function () {
    if (process.platform === 'win32') this.skip()
    await writeInputs()
    const { supervisor, deaths, unsaved, told } = trainer()
    supervisor.allow(2)
    await until(() => told.length === 2)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(supervisor.pid!, signal)
    await supervisor.stop()
    assert.deepEqual([deaths, unsaved], [[], []])
    const { metadata } = await readSafetensorsFile(join(start().directory, 'state.safetensors'))
    assert.equal(JSON.parse(metadata.shoal!).trainer.stepsSinceSnapshot, 2)
  })

  it('has its trainer end with this process, also where no signal ends it', async function () {
    if (process.platform === 'win32') this.skip()
    await writeInputs()
    const child = fork(new URL('../../../../daemon/trainer/trainer-process.js', import.meta.url), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    const ready = new Promise<void>(resolve => child.on('message', report => (report as TrainerReport).type === 'ready' && resolve()))
    child.send({ type: 'start', start: start(), without: [] })
    await ready
    child.kill('SIGTERM')
    child.disconnect()
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })

  it('removes what a trainer that was killed left half-written', async () => {
    await writeInputs()
    const { directory } = start()
    mkdirSync(directory)
    const { pid } = spawnSync(process.execPath, ['--version'])
    writeFileSync(join(directory, `state.safetensors.${pid}-0-1.shoal-tmp`), 'half')
    writeFileSync(join(directory, `state.safetensors.${process.pid}-0-1.shoal-tmp`), 'being written')
    const { supervisor, readies } = trainer()
    try {
      await until(() => readies.length === 1)
      assert.deepEqual(readdirSync(directory), [`state.safetensors.${process.pid}-0-1.shoal-tmp`])
    } finally {
      await supervisor.stop()
    }
  })

  it('blames no engine for what ends it while it reads its text', async function () {
    if (process.platform === 'win32') this.skip()
    await writeInputs()
    const text = join(home(), 'pipe.txt')
    execFileSync('mkfifo', [text])
    const readBySomebody = async (): Promise<number> => {
      let pipe: number | undefined
      await until(() => {
        try {
          // Refused while nobody reads.
          pipe = openSync(text, constants.O_WRONLY | constants.O_NONBLOCK)
        } catch {}
        return pipe !== undefined
      })
      return pipe!
    }
    const { supervisor, deaths, readies } = trainer({ corpus: { sources: [text], shared: null } }, { crashesMax: 1 })
    try {
      const pipe = await readBySomebody()
      process.kill(supervisor.pid!, 'SIGKILL')
      await until(() => deaths.length === 1)
      closeSync(pipe)
      const { code, blame, engine } = deaths[0]!
      assert.deepEqual({ code, blame, engine }, { code: 'trainer_failed', blame: null, engine: null })
      const again = await readBySomebody()
      writeFileSync(again, 'It is a truth universally acknowledged.')
      closeSync(again)
      await until(() => readies.length === 1)
      assert.deepEqual([readies[0]!.engine, supervisor.givenUp], ['js', []])
    } finally {
      await supervisor.stop()
    }
  })

  it('says again and again that it reads before it names an engine', async () => {
    await writeInputs()
    writeFileSync(join(home(), 'text.jsonl'), `${JSON.stringify({ text: 'a truth '.repeat(70_000) })}\n`.repeat(5))
    const said: string[] = []
    const child = fork(new URL('../../../../daemon/trainer/trainer-process.js', import.meta.url), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    child.on('message', report => said.push((report as TrainerReport).type))
    child.send({ type: 'start', start: { ...start(), corpus: { sources: [join(home(), 'text.jsonl')], shared: null } }, without: [] })
    await until(() => said.includes('ready'))
    child.disconnect()
    await once(child, 'exit')
    assert.deepEqual(said.slice(0, said.indexOf('ready')), ['reading', 'reading', 'engine'])
  })

  it('tries again where the system has no process to spare, and stops meanwhile', async () => {
    const { execPath } = process
    const died = Promise.withResolvers<Death & Next>()
    const supervisor = new TrainerSupervisor(start, {
      ready: () => assert.fail('there is no trainer'),
      step: () => {},
      waiting: () => {},
      snapshotted: () => {},
      stoppedUnsaved: () => {},
      died: (death, next) => died.resolve({ ...death, ...next })
    })
    // As with EAGAIN: the child says that it could not be made, and never exits.
    process.execPath = join(home(), 'no-such-program')
    try {
      supervisor.start()
      const { code, reason, blame, restartInMs } = await died.promise
      assert.match(reason, /ENOENT/)
      assert.deepEqual([code, blame], ['trainer_failed', null])
      assert.ok(restartInMs! > 0)
      supervisor.start()
      await supervisor.stop()
      assert.equal(supervisor.pid, null)
    } finally {
      process.execPath = execPath
    }
  })

  it('is started again after each SIGKILL from its last state, and falls back at the third', async () => {
    await writeInputs()
    const { supervisor, deaths, readies } = trainer({ engine: 'wasm' })
    try {
      await until(() => readies.length === 1)
      assert.ok(getPriority(supervisor.pid!) > getPriority(), 'the daemon comes first')
      await supervisor.snapshot(1)
      for (const count of [1, 2, 3]) {
        process.kill(supervisor.pid!, 'SIGKILL')
        await until(() => readies.length === count + 1)
      }
      const on = (engine: string) => ({ code: 'engine_crashed', reason: 'killed by SIGKILL', signal: 'SIGKILL', engine })
      assert.deepEqual(
        deaths.map(({ code, reason, signal, engine }) => ({ code, reason, signal, engine })),
        [on('wasm'), on('wasm'), on('wasm')]
      )
      assert.deepEqual(
        readies.map(({ engine, snapshot }) => [engine, snapshot?.sequence]),
        [
          ['wasm', undefined],
          ['wasm', 1],
          ['wasm', 1],
          ['traced', 1]
        ]
      )
      assert.deepEqual(
        supervisor.givenUp.map(({ engine, deaths }) => [engine, deaths]),
        [['wasm', 3]]
      )
      await supervisor.tryAgain()
      await until(() => readies.length === 5)
      assert.equal(readies.at(-1)!.engine, 'wasm')
      assert.deepEqual(supervisor.givenUp, [])
    } finally {
      await supervisor.stop()
    }
  })

  it('rests when no engine is left, until it is asked to try again', async () => {
    await writeInputs()
    const { supervisor, deaths, readies } = trainer({}, { crashesMax: 1 })
    try {
      for (const count of [1, 2, 3]) {
        await until(() => readies.length === count)
        process.kill(supervisor.pid!, 'SIGKILL')
      }
      await until(() => supervisor.paused)
      assert.deepEqual(
        deaths.map(({ code, engine, restartInMs }) => [code, engine, restartInMs]),
        [
          ['engine_crashed', 'js', 50],
          ['engine_crashed', 'traced', 50],
          ['engine_crashed', 'wasm', 50],
          ['engine_unavailable', null, null]
        ]
      )
      await supervisor.tryAgain()
      await until(() => readies.length === 4)
      assert.deepEqual([readies.at(-1)!.engine, supervisor.paused], ['js', false])
    } finally {
      await supervisor.stop()
    }
  })

  it('falls back at once where the engine cannot be opened', async () => {
    await writeInputs()
    const { supervisor, deaths, readies } = trainer({ engine: 'tfjs-node' })
    try {
      await until(() => readies.length === 1)
      assert.deepEqual(
        deaths.map(({ code, engine, givenUp }) => [code, engine, givenUp?.engine]),
        [['engine_unavailable', 'tfjs-node', 'tfjs-node']]
      )
      assert.match(deaths[0]!.reason, /the package @tensorflow\/tfjs-node is not installed/)
      assert.notEqual(readies[0]!.engine, 'tfjs-node')
    } finally {
      await supervisor.stop()
    }
  })

  it('falls back from an engine that runs out of memory', async function () {
    if (process.platform !== 'linux') this.skip()
    // On a busy machine another of the trainer's threads may be the one that gets no memory, and end it without a word.
    this.retries(2)
    const larger = { ...model, context: 64, width: 64 }
    await writeInputs(larger)
    // One array of a step is larger than all the room: where many small ones use it up, whoever asks for the next may crash without a word.
    const optimizer = { ...start().optimizer, batch: 256 }
    const { supervisor, deaths, readies } = trainer({ engine: 'auto', model: larger, optimizer })
    try {
      for (const count of [1, 2, 3]) {
        await until(() => readies.length === count)
        assert.equal(readies.at(-1)!.engine, 'traced')
        // Room for what Node itself may want, but not for a step.
        const [, kibibytes] = /^VmSize:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${supervisor.pid}/status`, 'utf8'))!
        execFileSync('prlimit', ['--pid', String(supervisor.pid), `--as=${(Number(kibibytes) + 12 * 1024) * 1024}`])
        supervisor.allow(count * 100_000)
        await until(() => deaths.length === count)
      }
      assert.deepEqual(
        deaths.map(({ code, engine, givenUp }) => [code, engine, givenUp?.engine]),
        [1, 2, 3].map(count => ['engine_out_of_memory', 'traced', count === 3 ? 'traced' : undefined]),
        deaths.map(({ reason }) => reason).join('\n')
      )
      await until(() => readies.length === 4)
      assert.equal(readies.at(-1)!.engine, 'wasm')
    } finally {
      await supervisor.stop()
    }
  })

  it('kills a trainer that has stopped stepping, but not one that has nothing to do', async () => {
    await writeInputs()
    const { supervisor, deaths, readies, steps } = trainer({}, { silentMs: 1500, silentSteps: 2 })
    try {
      await until(() => readies.length === 1)
      supervisor.allow(3)
      await until(() => steps() === 3)
      await new Promise(resolve => setTimeout(resolve, 2500))
      assert.equal(deaths.length, 0)
      supervisor.allow(1_000_000)
      await until(() => steps() > 3)
      process.kill(supervisor.pid!, 'SIGSTOP')
      await until(() => readies.length === 2)
      assert.deepEqual(
        deaths.map(({ code, signal }) => [code, signal]),
        [['engine_hung', 'SIGKILL']]
      )
      assert.match(deaths[0]!.reason, /^it said nothing for \d+ s and was killed$/)
    } finally {
      await supervisor.stop()
    }
  })
})
