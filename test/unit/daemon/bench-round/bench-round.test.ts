// One small round among real processes: the rows say what the issue asks for, and lossless codecs lose nothing.
import assert from 'node:assert/strict'
import { benchRound } from '../../../../daemon/index.ts'

describe('benchRound()', function () {
  this.timeout(60_000)

  it('times rounds of separate processes and measures what their codec lost', async () => {
    const rows = await benchRound({ peers: [3], values: 100_000, codecs: ['f32', 'int8'], rounds: 1 })
    assert.deepEqual(
      rows.map(({ peers, codec, values }) => [peers, codec, values]),
      [
        [3, 'f32', 100_000],
        [3, 'int8', 100_000]
      ]
    )
    const [exact, coarse] = rows
    assert.ok(exact!.maxAbsError < 1e-7, String(exact!.maxAbsError))
    assert.ok(coarse!.maxAbsError > exact!.maxAbsError && coarse!.maxAbsError < 1e-3, String(coarse!.maxAbsError))
    // Two others' bodies, and a little more than that on the wire.
    assert.ok(
      exact!.bytesReceivedPerPeer > 2 * 4 * 100_000 && exact!.bytesReceivedPerPeer < 2.4 * 4 * 100_000,
      String(exact!.bytesReceivedPerPeer)
    )
    assert.ok(coarse!.bytesReceivedPerPeer < exact!.bytesReceivedPerPeer / 3)
    for (const { seconds } of rows) assert.ok(seconds.min > 0 && seconds.min <= seconds.median && seconds.median <= seconds.max)
  })

  it('refuses a codec that does not exist, and gives up when told', async () => {
    await assert.rejects(benchRound({ peers: [2], values: 10, codecs: ['gzip'], rounds: 1 }), { code: 'bad_codec' })
    const reason = new Error('enough')
    await assert.rejects(benchRound({ peers: [2], values: 10, codecs: ['f32'], rounds: 1, signal: AbortSignal.abort(reason) }), reason)
  })
})
