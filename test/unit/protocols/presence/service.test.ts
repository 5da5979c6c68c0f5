import assert from 'node:assert/strict'
import { mock } from 'node:test'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import type { GossipReceiver } from '../../../../protocols/frame-stream.ts'
import { GREETING_INTERVAL_MS, MAX_HOLDING, MAX_OTHER_RUNS, MAX_RUNS } from '../../../../protocols/presence/constants.ts'
import { type PresenceChange, type PresenceComponents, type PresenceRun, PresenceService } from '../../../../protocols/presence/index.ts'
import { encodePresence } from '../../../../protocols/presence/messages.ts'

const cid = (n: number) => cidOf(new Uint8Array([n]), DAG_CBOR)
const OURS = cid(255)
const HELD = Array.from({ length: MAX_HOLDING }, (_, n) => cid(n))

describe('PresenceService', () => {
  let hear: GossipReceiver
  let met: (event: { type: string; peer: string }) => void
  let said: number
  let node: PresenceComponents['node']
  let presence: PresenceService
  beforeEach(() => {
    said = 0
    node = {
      peer: 'self',
      ping: async () => 1,
      onEvent: (listener: typeof met) => {
        met = listener
        return () => {}
      },
      publish: async () => {
        said += 1
      },
      subscribe: (_: string, receive: GossipReceiver) => {
        hear = receive
      },
      ...{ unsubscribe: () => {}, disconnect: () => {}, forget: () => {}, meet: () => {} }
    }
    presence = new PresenceService({ node }, { network: 'n' })
    presence.start()
    presence.setRun({ run: OURS, head: null, round: 0, state: 'training', step: 0, holding: () => [] })
  })
  afterEach(() => presence.stop())

  const inRun = (run: string, round = 1): PresenceRun => ({ run, head: null, round, state: 'training', step: 0, holding: [] })
  const say = (runs: PresenceRun[], peer = 'X') =>
    hear(encodePresence({ session: 1, seq: 1, timeMs: Date.now(), leaving: false, version: '', agent: 'a', runs }), peer)

  it('remembers of a peer all runs that we are in and a few others, each once and without what it holds', () => {
    const told: PresenceChange[] = []
    presence.onChange(change => told.push(change))
    const others = Array.from({ length: MAX_RUNS - 3 }, (_, n) => inRun(cid(n)))
    const runs = [...others, inRun(OURS), inRun(OURS, 2), { ...inRun(OURS, 3), holding: HELD }]
    assert.equal(say(runs), 'accept')
    assert.deepEqual(told, [{ type: 'joined', peer: 'X', runs }], 'whoever listens hears all')
    const { holding: _, ...known } = inRun(OURS, 3)
    assert.deepEqual(presence.membersOf(OURS), [{ peer: 'X', run: known }])
    assert.equal(presence.peers()[0]!.runs.length, 1 + MAX_OTHER_RUNS)
    assert.equal(presence.membersOf(cid(0)).length, 1)
  })

  describe('by a clock of its own', () => {
    let nowMs: number
    beforeEach(async () => {
      await presence.stop()
      nowMs = 1_000_000
      mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
      mock.method(performance, 'now', () => nowMs)
      presence = new PresenceService({ node }, { network: 'n' })
      presence.start()
      pass(1)
      said = 0
    })
    afterEach(() => {
      mock.timers.reset()
      mock.restoreAll()
    })
    const pass = (ms: number) => {
      for (let i = 0; i < ms; i++) {
        nowMs += 1
        mock.timers.tick(1)
      }
    }

    it('greets who comes at most once a second, however many come', () => {
      for (let i = 0; i < 100; i++) {
        say([], `stranger${i}`)
        met({ type: 'connected', peer: `caller${i}` })
        pass(100)
      }
      assert.equal(said, 10)
    })

    it('greets who comes after a second of silence at once', () => {
      pass(GREETING_INTERVAL_MS)
      say([])
      pass(1)
      assert.equal(said, 1)
    })
  })
})
