// The rules by which a trainer is started again: examples, and laws over any sequence of what may happen.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Death } from '../../../../daemon/trainer/deaths.ts'
import {
  advanceRecovery,
  createRecovery,
  RECOVERY_RULES,
  type RecoveryCommand,
  type RecoveryEvent
} from '../../../../daemon/trainer/recovery.ts'

const { crashesMax, firstStepMs, silentMs, wellAfterMs, restartWaitsMs } = RECOVERY_RULES
const ENGINES = ['traced', 'wasm', 'js']

const death = (engine: string | null, changes: Partial<Death> = {}): Death => ({
  ...{ code: 'engine_crashed', reason: 'killed by SIGSEGV', engine, blame: 'engine', exitCode: null, signal: 'SIGSEGV' },
  ...changes
})
const NONE_LEFT = death(null, { code: 'engine_unavailable', blame: null })

describe('recovery of a trainer', () => {
  /** A machine of which the test says what happens; the clock moves by the waits that the rules ask for. */
  const machine = () => {
    const state = createRecovery()
    let now = 1_000
    const tell = (event: RecoveryEvent) => advanceRecovery(state, event, now).commands
    return {
      state,
      tell,
      pass: (ms: number) => {
        now += ms
        return tell({ type: 'tick' })
      },
      /** Looks as often as the supervisor does. */
      watch: (ms: number) => {
        const commands: RecoveryCommand[] = []
        for (let left = ms; left > 0 && commands.length === 0; left -= 250) {
          now += Math.min(250, left)
          commands.push(...tell({ type: 'tick' }))
        }
        return commands
      }
    }
  }

  it('waits longer after each death, and gives an engine up at the third', () => {
    const { tell, pass } = machine()
    assert.deepEqual(tell({ type: 'wanted' }), [{ type: 'start', without: [] }])
    assert.deepEqual(tell({ type: 'died', death: death('traced') }), [{ type: 'restartIn', ms: 500 }])
    assert.deepEqual(pass(499), [])
    assert.deepEqual(pass(1), [{ type: 'start', without: [] }])
    assert.deepEqual(tell({ type: 'died', death: death('traced') }), [{ type: 'restartIn', ms: 2_000 }])
    pass(2_000)
    const engine = { engine: 'traced', code: 'engine_crashed', reason: 'killed by SIGSEGV', deaths: 3 }
    assert.deepEqual(tell({ type: 'died', death: death('traced') }), [
      { type: 'givenUp', engine },
      { type: 'restartIn', ms: 500 }
    ])
    assert.deepEqual(pass(500), [{ type: 'start', without: ['traced'] }])
  })

  it('gives up at once what cannot be opened, and pauses when nothing is left', () => {
    const { state, tell, pass } = machine()
    tell({ type: 'wanted' })
    const commands = tell({ type: 'died', death: death('tfjs-node', { code: 'engine_unavailable', blame: 'engine_for_good' }) })
    assert.deepEqual(
      commands.map(({ type }) => type),
      ['givenUp', 'restartIn']
    )
    pass(500)
    assert.deepEqual(tell({ type: 'died', death: NONE_LEFT }), [{ type: 'paused' }])
    assert.deepEqual(pass(3_600_000), [])
    assert.equal(state.phase, 'paused')
    assert.deepEqual(tell({ type: 'wanted' }), [{ type: 'start', without: [] }])
  })

  it('gives an engine up once, and waits longer and longer should it be used all the same', () => {
    const { state, tell, pass } = machine()
    tell({ type: 'wanted' })
    const waits: number[] = []
    for (let count = 0; count < 4; count++) {
      for (const command of tell({ type: 'died', death: death('traced', { blame: 'engine_for_good' }) }))
        if (command.type === 'restartIn') waits.push(command.ms)
      pass(60_000)
    }
    assert.deepEqual(waits, [500, 2_000, 10_000, 30_000])
    assert.equal(state.givenUp.length, 1)
  })

  it('keeps an engine that trains well for two minutes between its deaths', () => {
    const { state, tell, pass } = machine()
    tell({ type: 'wanted' })
    for (let count = 0; count < 10; count++) {
      tell({ type: 'ready' })
      pass(wellAfterMs)
      assert.deepEqual(tell({ type: 'died', death: death('traced') }), [{ type: 'restartIn', ms: 500 }])
      pass(500)
    }
    assert.deepEqual(state.givenUp, [])
  })

  it('counts only deaths that are the fault of one engine', () => {
    const { state, tell, pass } = machine()
    tell({ type: 'wanted' })
    for (const engine of ['traced', 'traced', 'wasm', 'traced', 'traced']) {
      tell({ type: 'died', death: death(engine) })
      pass(60_000)
      tell({ type: 'died', death: death(engine, { code: 'non_finite', blame: null }) })
      pass(60_000)
    }
    assert.deepEqual(state.givenUp, [])
  })

  it('kills a trainer that is silent for longer than twenty of its steps, and for five minutes', () => {
    const { tell, watch } = machine()
    tell({ type: 'wanted' })
    assert.deepEqual(watch(firstStepMs), [])
    assert.deepEqual(
      watch(1_000).map(({ type }) => type),
      ['kill']
    )
    tell({ type: 'step', ms: 100 })
    assert.deepEqual(watch(silentMs), [])
    assert.deepEqual(
      watch(1_000).map(({ type }) => type),
      ['kill']
    )
    tell({ type: 'step', ms: 60_000 })
    assert.deepEqual(watch(20 * 60_000), [])
    tell({ type: 'idle' })
    assert.deepEqual(watch(3_600_000), [])
    tell({ type: 'asked' })
    assert.equal(watch(3_600_000)[0]!.type, 'kill')
  })

  it('kills a silent trainer within its bound also while it is asked things every minute', () => {
    const { tell, watch } = machine()
    tell({ type: 'wanted' })
    tell({ type: 'step', ms: 100 })
    const commands: RecoveryCommand[] = []
    for (let minute = 0; minute <= silentMs / 60_000 && commands.length === 0; minute++) {
      tell({ type: 'asked' })
      commands.push(...watch(60_000))
    }
    assert.deepEqual(commands, [{ type: 'kill', silentMs: silentMs + 250 }])
  })

  it('takes the time in which it was stopped itself for no silence', () => {
    const { tell, pass } = machine()
    tell({ type: 'wanted' })
    tell({ type: 'step', ms: 100 })
    assert.deepEqual(pass(10 * 3_600_000), [])
  })

  /** What may happen to a process; `use` says which of the engines that are left it takes. */
  const happening = fc.oneof(
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 200_000 }) }),
    fc.record({ kind: fc.constant('told' as const), event: fc.constantFrom('ready', 'idle', 'heard', 'asked') }),
    fc.record({ kind: fc.constant('step' as const), ms: fc.integer({ min: 1, max: 100_000 }) }),
    fc.record({ kind: fc.constant('die' as const), blame: fc.constantFrom('engine', 'engine', 'engine', 'engine_for_good', null) })
  )

  it('never starts sooner than the wait it stated, never uses what it gave up, and ends paused or trying', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 200 }), happenings => {
        const state = createRecovery()
        let now = 0
        let engine: string | null = null
        let isRunning = false
        let notBefore = 0
        const starts: number[] = []
        const tell = (event: RecoveryEvent) => {
          for (const command of advanceRecovery(state, event, now).commands) {
            if (command.type === 'restartIn') notBefore = now + command.ms
            if (command.type !== 'start') continue
            assert.ok(!isRunning && now >= notBefore)
            assert.deepEqual(new Set(command.without).size, command.without.length)
            starts.push(now)
            engine = ENGINES.find(name => !command.without.includes(name)) ?? null
            isRunning = true
            if (engine === null) {
              isRunning = false
              tell({ type: 'died', death: NONE_LEFT })
            }
          }
        }
        tell({ type: 'wanted' })
        for (const happening of happenings) {
          if (happening.kind === 'pass') {
            now += happening.ms
            tell({ type: 'tick' })
          } else if (happening.kind === 'step') tell({ type: 'step', ms: happening.ms })
          else if (happening.kind === 'told') tell({ type: happening.event as 'ready' })
          else if (isRunning) {
            isRunning = false
            tell({ type: 'died', death: death(engine, { blame: happening.blame as Death['blame'] }) })
          }
          // Never without a process, a time for the next one, or a reason why there is none.
          assert.equal(state.phase === 'running', isRunning)
          assert.ok(state.phase !== 'stopped' && (state.phase !== 'paused' || state.givenUp.length === ENGINES.length))
        }
        // Every engine's first waits, and from then on the longest: as many starts as fit, whatever happens.
        const quick = ENGINES.length * restartWaitsMs.length + 1
        const well = Math.floor(now / wellAfterMs) * restartWaitsMs.length
        assert.ok(starts.length <= quick + well + now / restartWaitsMs.at(-1)!)
      })
    )
  })

  it('is paused after a bounded number of starts where every engine dies at once', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('engine', 'engine_for_good'), { minLength: 20, maxLength: 20 }), blames => {
        const { state, tell, pass } = machine()
        let starts = 0
        let commands = tell({ type: 'wanted' })
        for (; state.phase !== 'paused'; starts++) {
          const [start] = commands
          assert.ok(start?.type === 'start' && starts <= ENGINES.length * crashesMax)
          const engine = ENGINES.find(name => !start.without.includes(name))
          tell({ type: 'died', death: engine === undefined ? NONE_LEFT : death(engine, { blame: blames[starts] as Death['blame'] }) })
          commands = pass(60_000)
        }
      })
    )
  })
})
