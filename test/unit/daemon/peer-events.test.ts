import assert from 'node:assert/strict'
import type { EventLog } from '../../../daemon/events.ts'
import { PeerEvents, STRANGERS_TOLD } from '../../../daemon/peer-events.ts'

describe('PeerEvents', () => {
  let told: Parameters<EventLog['emit']>[0][]
  let events: PeerEvents
  beforeEach(() => {
    told = []
    events = new PeerEvents({
      events: { emit: event => told.push(event) },
      isAccepted: peer => peer.startsWith('member'),
      foundBy: () => 'dht'
    })
  })
  const come = (peer: string, nowMs: number) => events.tell({ type: 'joined', peer, runs: [] }, nowMs)
  const go = (peer: string, nowMs: number) => events.tell({ type: 'gone', peer, reason: 'left' }, nowMs)

  it('tells who came and who went, and nothing of what they say meanwhile', () => {
    come('ann', 0)
    events.tell({ type: 'updated', peer: 'ann', runs: [] }, 1)
    go('ann', 2)
    assert.deepEqual(told, [
      { type: 'peer', peer: 'ann', code: 'peer_joined', message: 'ann is here, found by dht', data: { foundBy: 'dht' } },
      { type: 'peer', peer: 'ann', code: 'peer_left', message: 'ann is gone: it said goodbye', data: {} }
    ])
  })

  it('leaves room in the log for two days while strangers come and go by the thousand, and says how many it did not name', () => {
    const dayMs = 86_400_000
    for (let nowMs = 0; nowMs < 2 * dayMs; nowMs += 1000) {
      come(`stranger${nowMs}`, nowMs)
      go(`stranger${nowMs}`, nowMs)
    }
    assert.ok(told.length < 20_000, `${told.length} events`)
    const counted = told.reduce((sum, { data }) => sum + 1 + Number(data?.untold ?? 0), 0)
    assert.ok(counted > 2 * 2 * 86_000 && counted <= 2 * 2 * 86_400)
    assert.match(told.at(-1)!.message, /; strangers came and went \d+ times untold$/)
  })

  it('tells of every member while a crowd comes, and of a whole mesh of strangers that starts at once', () => {
    for (let i = 0; i < 10 * STRANGERS_TOLD.burst; i++) come(`stranger${i}`, 0)
    assert.equal(told.length, STRANGERS_TOLD.burst)
    for (let i = 0; i < 1000; i++) come(`member${i}`, 0)
    assert.equal(told.length, STRANGERS_TOLD.burst + 1000)
  })
})
