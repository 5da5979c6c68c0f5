// Ends as processes have really come to them, and what is said of each.
import assert from 'node:assert/strict'
import { deathOf, type End } from '../../../../daemon/trainer/deaths.ts'

const end = (changes: Partial<End>): End => ({
  ...{ exitCode: null, signal: null, engine: 'traced', fatal: null, lastWords: '', silentMs: null, oomKilled: false },
  ...changes
})

describe('deathOf()', () => {
  it('tells crashes, want of memory and silence of an engine apart', () => {
    for (const [changes, code, reason] of [
      [{ signal: 'SIGSEGV' }, 'engine_crashed', 'killed by SIGSEGV'],
      [{ signal: 'SIGKILL' }, 'engine_crashed', 'killed by SIGKILL'],
      [{ signal: 'SIGKILL', oomKilled: true }, 'engine_out_of_memory', 'killed by SIGKILL when the kernel was out of memory'],
      [{ exitCode: 3 }, 'engine_crashed', 'exit code 3'],
      [
        { signal: 'SIGABRT', lastWords: 'warming up\nterminate called without an active exception\n' },
        'engine_crashed',
        'killed by SIGABRT: terminate called without an active exception'
      ],
      [
        {
          signal: 'SIGABRT',
          lastWords: 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n 1: 0x1 node::Abort()'
        },
        'engine_out_of_memory',
        'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory (killed by SIGABRT)'
      ],
      [
        { exitCode: 1, fatal: { code: 'engine_failed', message: 'Cannot run the graph:\n std::bad_alloc' } },
        'engine_out_of_memory',
        'Cannot run the graph: std::bad_alloc'
      ],
      [{ exitCode: 1, fatal: { code: 'engine_failed', message: 'no kernel' } }, 'engine_failed', 'no kernel'],
      [{ signal: 'SIGKILL', silentMs: 300_100 }, 'engine_hung', 'it said nothing for 300 s and was killed']
    ] as [Partial<End>, string, string][]) {
      const death = deathOf(end(changes))
      assert.deepEqual([death.code, death.reason, death.blame], [code, reason, 'engine'])
    }
  })

  it('blames an engine for good that cannot compute this here', () => {
    for (const code of ['engine_unavailable', 'untraceable_operation'])
      assert.equal(deathOf(end({ exitCode: 1, fatal: { code, message: 'no' } })).blame, 'engine_for_good')
  })

  it('takes the code of an error for truer than words of memory in its message', () => {
    for (const code of ['data_missing', 'trainer_state_damaged', 'disk_full']) {
      const death = deathOf(end({ exitCode: 1, fatal: { code, message: 'cannot read /data/out of memory/x' } }))
      assert.deepEqual([death.code, death.blame], [code, null])
    }
    const own = deathOf(end({ exitCode: 1, fatal: { code: 'internal', message: 'Array buffer allocation failed' } }))
    assert.deepEqual([own.code, own.blame], ['engine_out_of_memory', 'engine'])
  })

  it('blames no engine for what text, state or disk did, nor for what came before any was loaded', () => {
    for (const code of ['trainer_state_damaged', 'corpus_too_small', 'non_finite', 'disk_full']) {
      const death = deathOf(end({ exitCode: 1, fatal: { code, message: 'so' } }))
      assert.deepEqual([death.code, death.blame], [code, null])
    }
    for (const early of [{ signal: 'SIGKILL' }, { lastWords: 'spawn EAGAIN' }, { exitCode: 1 }]) {
      const death = deathOf(end({ ...early, engine: null }))
      assert.deepEqual([death.code, death.blame], ['trainer_failed', null])
    }
  })
})
