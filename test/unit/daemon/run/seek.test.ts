import assert from 'node:assert/strict'
import { DaemonError, type DaemonErrorCode } from '../../../../daemon/errors.ts'
import { SEEK_FIRST_MS, SEEK_MAX_MS, Seek, seekDelayMs } from '../../../../daemon/run/seek.ts'

describe('seekDelayMs()', () => {
  it('doubles from a second and is bounded', () => {
    assert.deepEqual(
      [1, 2, 3].map(failures => seekDelayMs(failures)),
      [SEEK_FIRST_MS, 2 * SEEK_FIRST_MS, 4 * SEEK_FIRST_MS]
    )
    assert.equal(seekDelayMs(10_000), SEEK_MAX_MS)
  })
})

describe('Seek', () => {
  /** A seek whose tries fail with the given codes in turn and then succeed. */
  function failing(codes: DaemonErrorCode[], firstMs = 0, members: string[] = []) {
    const told: string[] = []
    const tries: (string | null)[] = []
    const seek: Seek = new Seek({
      join: async () => {
        tries.push(seek.reason)
        const code = codes[tries.length - 1]
        if (code !== undefined) throw new DaemonError(code, `because of ${code}`)
      },
      onWaiting: ({ code }) => told.push(code),
      members,
      firstMs
    })
    return { seek, told, tries }
  }

  it('tries until the run is joined, and says each reason once', async () => {
    const { seek, told, tries } = failing(['no_peers', 'no_peers', 'unknown_run', 'unknown_run'])
    await seek.run()
    assert.deepEqual(told, ['no_peers', 'unknown_run'])
    assert.deepEqual(tries, [null, 'because of no_peers', 'because of no_peers', 'because of unknown_run', 'because of unknown_run'])
  })

  it('gives up at a reason that time does not mend', async () => {
    for (const code of ['data_missing', 'not_allowed', 'manifest_value', 'engine_unavailable'] as const) {
      const { seek, tries } = failing(['unknown_run', code])
      await assert.rejects(seek.run(), { code })
      assert.equal(tries.length, 2)
    }
    const broken = new Seek({ join: async () => assert.fail('a bug'), onWaiting: () => {} })
    await assert.rejects(broken.run(), /a bug/)
  })

  it('is done when somebody else has joined the run meanwhile', async () => {
    const { seek, tries } = failing(['unknown_run', 'already_joined'])
    await seek.run()
    assert.equal(tries.length, 2)
  })

  it('does not wait long after a try during which somebody came into the run', async () => {
    let tries = 0
    const seek: Seek = new Seek({
      join: async () => {
        if (++tries === 11) return
        if (tries === 10) seek.heard('newcomer', true)
        throw new DaemonError(tries === 10 ? 'no_peers' : 'unknown_run', 'not yet')
      },
      onWaiting: () => {},
      maxMs: code => (code === 'no_peers' ? SEEK_MAX_MS : 0),
      firstMs: 10
    })
    await seek.run()
    assert.equal(tries, 11)
  })

  it('tries at once when somebody comes into the run, not when he says so again, and not when it is stopped', async () => {
    const { seek, tries } = failing(['unknown_run', 'unknown_run', 'unknown_run', 'unknown_run'], SEEK_MAX_MS, ['there before'])
    const done = seek.run()
    const triesAfter = async (peer: string, isInRun = true) => {
      seek.heard(peer, isInRun)
      await new Promise(resolve => setImmediate(resolve))
      return tries.length
    }
    assert.equal(await triesAfter('elsewhere', false), 1)
    assert.equal(await triesAfter('there before'), 1)
    assert.equal(await triesAfter('new'), 2)
    assert.equal(await triesAfter('new'), 2)
    assert.equal(await triesAfter('new', false), 2)
    assert.equal(await triesAfter('new'), 3)
    seek.stop()
    await done
    assert.equal(tries.length, 3)
  })
})
