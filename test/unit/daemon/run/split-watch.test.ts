import assert from 'node:assert/strict'
import type { EventLog } from '../../../../daemon/events.ts'
import type { KeptRound } from '../../../../daemon/run/ledger.ts'
import { SplitWatch } from '../../../../daemon/run/split-watch.ts'
import { LOOK_INTERVAL_MS } from '../../../../protocols/split/index.ts'

describe('SplitWatch', () => {
  const told: string[] = []
  const called: string[] = []
  let here: string[] = []
  let answering: string[] = []
  let banned: string[] = []
  let announced: string[] = []
  let looks = 0
  let watch: SplitWatch

  const contributorsOf = (peers: string[]) => peers.map(peer => ({ cid: peer, peer, tokens: 1, steps: 1, age: 0 }))
  const newest = { round: 9, record: 'r9', contributors: contributorsOf(['a', 'b', 'c', 'd']) } as unknown as KeptRound

  /** Looks that follow at once, each as if an interval had passed. */
  const start = (): void => {
    told.length = called.length = looks = 0
    banned = []
    watch = new SplitWatch(
      {
        ...{ run: 'run', self: 'a', ledger: { rounds: async () => [newest] } },
        events: {
          emit: (event: { code?: string; message: string }) => told.push(`${event.code}: ${event.message}`)
        } as unknown as EventLog,
        live: () => here.map(peer => ({ peer, run: { head: 'r9', round: 9 } })),
        branchOf: ({ head }) => (head === 'r9' ? 'ours' : 'other'),
        isAccepted: () => true,
        banned: () => banned,
        findProviders: async function* () {
          yield* announced
        },
        ping: async peer => {
          called.push(peer)
          if (!answering.includes(peer)) throw new Error('no answer')
        }
      },
      { lookMs: 1, now: () => LOOK_INTERVAL_MS * ++looks }
    )
  }
  afterEach(() => watch.stop())

  const until = async (condition: () => boolean): Promise<void> => {
    for (const limit = performance.now() + 30_000; !condition(); await new Promise(setImmediate))
      assert.ok(performance.now() < limit, `not so in time: ${condition}; ${told}`)
  }

  it('tells who vanished and who is back, each once, and what calls say of them in between', async () => {
    here = ['b', 'c', 'd']
    answering = []
    start()
    await until(() => looks > 3)
    here = ['b']
    await until(() => watch.sentence?.endsWith('c, d were members until round 9 and cannot be reached') === true)
    answering = ['c', 'd']
    await until(() => watch.sentence?.endsWith('c, d were members until round 9 and are not heard any more') === true)
    here = ['b', 'c', 'd']
    await until(() => watch.sentence === null)
    assert.deepEqual(told, [
      'mesh_split: this node sees a, b; c, d were members until round 9 and are not heard any more',
      'mesh_healed: all members see one another: c, d are here again'
    ])
  })

  it('remembers of no call that failed before its peer was here again', async () => {
    here = ['b']
    answering = []
    start()
    const isUnreachable = () => watch.sentence?.endsWith('cannot be reached') === true
    await until(isUnreachable)
    here = ['b', 'c', 'd']
    await until(() => watch.sentence === null)
    here = ['b']
    await until(() => watch.sentence !== null)
    assert.equal(told.length, 3)
    assert.match(told[2]!, /are not heard any more$/)
    await until(isUnreachable)
  })

  it('holds nobody for cut off who says goodbye', async () => {
    here = ['b', 'c', 'd']
    start()
    await until(() => looks > 3)
    here = ['b']
    for (const peer of ['c', 'd']) watch.left(peer)
    const before = looks
    await until(() => looks > before + 100)
    assert.deepEqual([told, called, watch.sentence], [[], [], null])
  })

  it('misses nobody whom this node bans, though presence drops them late and records and the DHT go on naming them', async () => {
    here = ['b', 'c', 'd']
    answering = []
    announced = ['c', 'd']
    start()
    await until(() => looks > 3)
    banned = ['c', 'd']
    await until(() => looks > 10)
    here = ['b']
    await until(() => looks > 1_000)
    assert.deepEqual([told, called, watch.sentence], [[], [], null])
    banned = []
    await until(() => looks > 1_100)
    assert.deepEqual(told, [], 'nor is it missed when its ban is over, before it comes')
    announced = []
  })

  it('says of those who were killed and are here again without the run that they are, not that nobody heard of them', async () => {
    here = []
    start()
    await until(() => watch.sentence !== null)
    for (const peer of ['b', 'c', 'd']) watch.left(peer)
    await until(() => watch.sentence === null)
    assert.equal(
      told.at(-1),
      'mesh_healed: all members see one another: those who were missed left, are banned here, or are here and not in the run'
    )
  })
})
