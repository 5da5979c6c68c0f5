import assert from 'node:assert/strict'
import type { KeptRound } from '../../../../daemon/run/ledger.ts'
import { HeldUp, lastAcceptedIn, shareOf, slowSentence } from '../../../../daemon/run/round-answers.ts'

const round = (number: number, tokens: Record<string, number>): KeptRound =>
  ({
    round: number,
    adoptedAt: `t${number}`,
    contributors: Object.entries(tokens).map(([peer, tokens]) => ({ peer, tokens, loss: 1, age: 0 }))
  }) as KeptRound // all that is read of it

describe('what a node tells of its rounds', () => {
  it('is its share of the accepted tokens, and the newest round that took its work', () => {
    const rounds = [round(3, { b: 200 }), round(2, { a: 50, b: 100 }), round(1, { a: 50 })]
    assert.deepEqual(shareOf(rounds, 'a'), { rounds: 3, ownTokens: 100, allTokens: 400, share: 0.25 })
    assert.deepEqual(lastAcceptedIn(rounds, 'a'), { round: 2, tokens: 50, at: 't2' })
    assert.equal(lastAcceptedIn(rounds, 'c'), null)
    assert.equal(shareOf([], 'a').share, null)
  })

  it('is what held a round up and who was silent, each once', () => {
    const held = new HeldUp()
    held.note(7, 'peer_silent', 'anna')
    held.note(7, 'peer_silent', 'anna')
    held.note(7, 'peer_silent', 'bert')
    held.note(7, 'fetch_timeout', 'cleo')
    held.note(7, 'late', 'dora')
    held.note(6, 'close_failed', undefined)
    const causes = held.take(7)
    assert.equal(
      slowSentence(7, 31, 20_000, causes),
      'round 7 took 31 s, more than its deadline of 20 s: anna, bert gave nothing by the deadline; a contribution could not be had in time (cleo)'
    )
    assert.deepEqual(held.take(6), [], 'what is over is forgotten')
    assert.match(slowSentence(8, 31, 20_000, held.take(8)), /nothing that this node saw/)
  })

  it('is bounded, whatever rounds are claimed', () => {
    const held = new HeldUp()
    held.note(3, 'peer_silent', 'anna')
    for (let n = 0; n < 1_000; n++) held.note(1_000 + n, 'fetch_timeout', `peer ${n}`)
    for (let n = 0; n < 1_000; n++) held.note(3, 'fetch_timeout', `peer ${n}`)
    assert.equal(held.take(3).length, 32)
    assert.equal(held.take(1_999).length, 0)
  })
})
