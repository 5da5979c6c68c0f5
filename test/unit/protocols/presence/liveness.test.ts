import assert from 'node:assert/strict'
import fc from 'fast-check'
import { GONE_MS, MAX_PEERS, SILENCE_MS, TICK_MS } from '../../../../protocols/presence/constants.ts'
import { PRESENCE_TIMEOUT_MS } from '../../../../protocols/presence/index.ts'
import { advancePresence, createPresenceState, type PresenceEvent } from '../../../../protocols/presence/liveness.ts'

const heard = (peer: string, seq: number, options: { session?: number; leaving?: boolean } = {}): PresenceEvent => ({
  type: 'heard',
  peer,
  seq,
  session: options.session ?? 1,
  leaving: options.leaving ?? false
})
const tick: PresenceEvent = { type: 'tick' }

describe('advancePresence()', () => {
  it('takes a peer in when it is first heard, and its later messages once each', () => {
    const state = createPresenceState()
    assert.deepEqual(advancePresence(state, heard('a', 1), 0), [{ type: 'take', peer: 'a', joined: true }])
    assert.deepEqual(advancePresence(state, heard('a', 3), 10), [{ type: 'take', peer: 'a', joined: false }])
    assert.deepEqual(advancePresence(state, heard('a', 3), 20), [])
    assert.deepEqual(advancePresence(state, heard('a', 2), 30), [])
  })

  it('drops a silent peer within the stated bound', () => {
    const state = createPresenceState()
    advancePresence(state, heard('a', 1), 0)
    let goneAtMs = 0
    for (let nowMs = 0; goneAtMs === 0; nowMs += TICK_MS) {
      if (advancePresence(state, tick, nowMs).length > 0) goneAtMs = nowMs
    }
    assert.ok(goneAtMs + TICK_MS <= PRESENCE_TIMEOUT_MS)
    assert.equal(state.live.size, 0)
  })

  it('drops a peer that says goodbye at once, and no late message brings it back', () => {
    const state = createPresenceState()
    advancePresence(state, heard('a', 1), 0)
    assert.deepEqual(advancePresence(state, heard('a', 5, { leaving: true }), 1), [{ type: 'gone', peer: 'a', reason: 'left' }])
    assert.deepEqual(advancePresence(state, heard('a', 4), 2), [])
    assert.deepEqual(advancePresence(state, heard('a', 6), 3), [])
    assert.deepEqual(advancePresence(state, heard('a', 1, { session: 2 }), 4), [{ type: 'take', peer: 'a', joined: true }])
  })

  it('takes a restarted peer whose count begins anew, and not its old session again', () => {
    const state = createPresenceState()
    advancePresence(state, heard('a', 100), 0)
    assert.deepEqual(advancePresence(state, heard('a', 1, { session: 2 }), 1), [{ type: 'take', peer: 'a', joined: false }])
    assert.deepEqual(advancePresence(state, heard('a', 101), 2), [])
    assert.deepEqual(advancePresence(state, heard('a', 2, { session: 2 }), 3), [{ type: 'take', peer: 'a', joined: false }])
  })

  it('takes nothing that was recorded of a peer and is sent anew: of an earlier process never while it is here, of one that is gone not for minutes', () => {
    const state = createPresenceState(peer => peer === 'a')
    advancePresence(state, heard('a', 100, { session: 1 }), 0)
    advancePresence(state, heard('a', 1, { session: 2 }), 1)
    assert.deepEqual(advancePresence(state, heard('a', 101, { session: 1 }), GONE_MS), [], 'however long ago that was')
    advancePresence(state, heard('a', 2, { session: 2 }), GONE_MS)
    const later = 2 * GONE_MS
    for (let nowMs = GONE_MS; nowMs <= later; nowMs += TICK_MS) advancePresence(state, tick, nowMs)
    assert.equal(state.live.size, 0)
    // Thousands of strangers come and go, and it is not forgotten.
    for (let i = 0; i <= 2 * MAX_PEERS; i++)
      for (const leaving of [false, true]) advancePresence(state, heard(`stranger ${i}`, leaving ? 2 : 1, { leaving }), later)
    for (const [seq, session] of [
      [101, 1],
      [2, 2]
    ] as const)
      assert.deepEqual(advancePresence(state, heard('a', seq, { session }), later), [])
    assert.deepEqual(advancePresence(state, heard('a', 3, { session: 2 }), later), [{ type: 'take', peer: 'a', joined: true }])
    assert.deepEqual(advancePresence(state, heard('a', 200, { session: 1, leaving: true }), later), [])
    assert.equal(state.live.size, 1)
  })

  it('takes a process again that is older than a copy of its identity which said goodbye, some minutes after that', () => {
    const state = createPresenceState()
    advancePresence(state, heard('a', 1, { session: 1 }), 0)
    advancePresence(state, heard('a', 1, { session: 2 }), 1)
    advancePresence(state, heard('a', 2, { session: 2, leaving: true }), 2)
    assert.deepEqual(advancePresence(state, heard('a', 2, { session: 1 }), 3), [])
    assert.deepEqual(advancePresence(state, heard('a', 3, { session: 1 }), 2 + GONE_MS), [{ type: 'take', peer: 'a', joined: true }])
  })

  it('checks a peer whose connection closed, and drops it when it does not answer', () => {
    const state = createPresenceState()
    advancePresence(state, heard('a', 1), 0)
    assert.deepEqual(advancePresence(state, { type: 'disconnected', peer: 'a' }, 10), [{ type: 'check', peer: 'a' }])
    assert.deepEqual(advancePresence(state, { type: 'unreachable', peer: 'a' }, 20), [{ type: 'gone', peer: 'a', reason: 'unreachable' }])
    assert.deepEqual(advancePresence(state, { type: 'disconnected', peer: 'a' }, 30), [])
  })

  it('keeps a peer that cannot be reached from here while others relay what it says', () => {
    const state = createPresenceState()
    advancePresence(state, heard('a', 1), 0)
    advancePresence(state, { type: 'disconnected', peer: 'a' }, 10)
    advancePresence(state, heard('a', 2), 15)
    assert.deepEqual(advancePresence(state, { type: 'unreachable', peer: 'a' }, 20), [])
    assert.equal(state.live.size, 1)
  })

  it('lets a known peer in where strangers have filled all room, and no other stranger', () => {
    const state = createPresenceState(peer => peer.startsWith('known'))
    advancePresence(state, heard('known 1', 1), 0)
    for (let i = 1; i < MAX_PEERS; i++) advancePresence(state, heard(`stranger ${i}`, 1), 0)
    assert.deepEqual(advancePresence(state, heard('late stranger', 1), 1), [])
    assert.deepEqual(advancePresence(state, heard('known 2', 1), 1), [
      { type: 'gone', peer: `stranger ${MAX_PEERS - 1}`, reason: 'crowded_out' },
      { type: 'take', peer: 'known 2', joined: true }
    ])
    assert.deepEqual(advancePresence(state, heard(`stranger ${MAX_PEERS - 1}`, 2), 2), [])
    assert.deepEqual(advancePresence(state, heard('known 1', 2), 2), [{ type: 'take', peer: 'known 1', joined: false }])
    assert.equal(state.live.size, MAX_PEERS)
  })

  it('blames nobody for its own sleep', () => {
    const state = createPresenceState()
    advancePresence(state, heard('a', 1), 0)
    advancePresence(state, tick, 500)
    assert.deepEqual(advancePresence(state, tick, 60_000), [])
    assert.deepEqual(advancePresence(state, tick, 60_500), [])
    let nowMs = 61_000
    while (state.live.size > 0) {
      nowMs += TICK_MS
      advancePresence(state, tick, nowMs)
    }
    assert.ok(nowMs > 60_000 + SILENCE_MS - 1000 && nowMs < 60_000 + PRESENCE_TIMEOUT_MS)
  })

  it('joins and drops each peer in turn, whatever happens', () => {
    const peer = fc.constantFrom('a', 'b', 'c')
    const event: fc.Arbitrary<PresenceEvent> = fc.oneof(
      fc.record({ type: fc.constant('heard' as const), peer, session: fc.nat(3), seq: fc.nat(20), leaving: fc.boolean() }),
      fc.record({ type: fc.constantFrom('disconnected' as const, 'unreachable' as const), peer }),
      fc.constant(tick)
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.nat(4000))), steps => {
        const state = createPresenceState()
        const present = new Set<string>()
        let nowMs = 0
        for (const [step, delayMs] of steps) {
          nowMs += delayMs
          for (const command of advancePresence(state, step, nowMs)) {
            if (command.type === 'take') {
              assert.equal(command.joined, !present.has(command.peer))
              present.add(command.peer)
            } else if (command.type === 'gone') {
              assert.ok(present.delete(command.peer))
            } else {
              assert.ok(present.has(command.peer))
            }
          }
          assert.deepEqual(new Set(state.live.keys()), present)
        }
      })
    )
  })
})
