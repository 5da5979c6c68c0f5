import assert from 'node:assert/strict'
import { PROVIDER_SWEEP_MS, PROVIDER_VALIDITY_MS } from '../../../../daemon/node.ts'
import {
  ASK_INTERVAL_MS,
  ASK_TIMEOUT_MS,
  advanceSplit,
  type Branch,
  createSplit,
  findingSentence,
  LOOK_INTERVAL_MS,
  type SplitCommand,
  type SplitState,
  type SplitView,
  STALE_NAME_MS
} from '../../../../protocols/split/index.ts'

/** A run of `members`, all of them authors of the newest round, seen by the first. */
class Mesh {
  readonly state: SplitState = createSplit()
  readonly members: string[]
  now = 0
  here: Set<string>
  authors: Set<string>
  /** Where somebody is not on our chain. */
  heads = new Map<string, { branch: Branch; round: number }>()
  strangers = new Set<string>()
  /** The newest round that took somebody's work, where it is not the newest of all. */
  rounds = new Map<string, number>()
  announced = new Set<string>()
  unreachable = new Set<string>()

  constructor(...members: string[]) {
    this.members = members
    this.here = new Set(members)
    this.authors = new Set(members)
  }

  look(left: string[] = []): SplitCommand[] {
    this.now += LOOK_INTERVAL_MS
    const [self] = this.members
    const live = [...this.here].filter(peer => peer !== self)
    const view: SplitView = {
      self: self!,
      live: live.map(peer => ({ peer, isAccepted: !this.strangers.has(peer), ...(this.heads.get(peer) ?? { branch: 'ours', round: 9 }) })),
      left,
      authors: [...this.authors].map(peer => ({ peer, round: this.rounds.get(peer) ?? 9 })),
      announced: this.announced,
      unreachable: this.unreachable
    }
    return advanceSplit(this.state, view, this.now)
  }

  /** What it says after so many seconds of looks, the last of it. */
  after(seconds: number): SplitCommand | undefined {
    let said: SplitCommand | undefined
    for (let ms = 0; ms < seconds * 1_000; ms += LOOK_INTERVAL_MS) said = this.look().at(-1) ?? said
    return said
  }

  gain(...peers: string[]): void {
    for (const peer of peers) {
      this.here.add(peer)
      this.authors.add(peer)
    }
  }

  lose(...peers: string[]): this {
    for (const peer of peers) this.here.delete(peer)
    return this
  }
}

describe('the rule of a split mesh', () => {
  it('names who is cut off where rounds take less than a second, and no record has its work any more when it is missed', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    mesh.after(20)
    mesh.authors = new Set(['a', 'b'])
    assert.equal(mesh.after(10), undefined, 'as long as they are here for all that one knows')
    const said = mesh.lose('c', 'd').after(30)
    assert.deepEqual(said?.type === 'split' && said.finding.missing.map(({ peer }) => peer), ['c', 'd'])
  })

  it('names both sides when two of four vanish at once, and says when they are back', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    assert.equal(mesh.after(60), undefined)
    mesh.lose('c', 'd').announced = new Set(['b', 'c', 'd'])
    mesh.unreachable = new Set(['c', 'd'])
    const said = mesh.after(30)
    assert.ok(said?.type === 'split')
    assert.deepEqual(said.finding.here, ['a', 'b'])
    assert.equal(
      findingSentence(said.finding),
      'this node sees a, b; c, d were members until round 9, still announce the run and cannot be reached'
    )
    // Rounds go on without them.
    mesh.authors = new Set(['a', 'b'])
    assert.equal(mesh.after(300)?.type, 'split', 'they are missed though newer records know nothing of them')
    mesh.here = new Set(mesh.members)
    assert.deepEqual(mesh.look(), [{ type: 'healed', back: ['c', 'd'], given: 'back' }])
    assert.deepEqual(mesh.look(), [])
  })

  it('holds one member that is gone for dead, and two of which one is gone for split', () => {
    assert.equal(new Mesh('a', 'b', 'c', 'd').lose('d').after(120), undefined)
    assert.equal(new Mesh('a', 'b', 'c').lose('c').after(120), undefined)
    const pair = new Mesh('a', 'b')
    pair.look()
    assert.equal(pair.lose('b').after(120)?.type, 'split')
    const lonely = new Mesh('c', 'a', 'b')
    lonely.look()
    assert.equal(lonely.lose('a', 'b').after(120)?.type, 'split', 'the smaller side knows, too')
  })

  it('is silent where members die one after the other and are replaced', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd', 'e', 'f')
    mesh.look()
    for (let n = 0; n < 200; n++) {
      const oldest = [...mesh.here][1]!
      mesh.lose(oldest)
      mesh.here.add(`new ${n}`)
      assert.equal(mesh.after(10)?.type, undefined, `after ${n}`)
      mesh.authors = new Set(mesh.here)
      assert.equal(mesh.after(10)?.type, undefined, `after ${n}`)
    }
  })

  it('is silent where members say goodbye, as long as records name them', () => {
    for (const members of [
      ['a', 'b'],
      ['a', 'b', 'c', 'd']
    ]) {
      const leaving = members.slice(members.length / 2)
      const mesh = new Mesh(...members)
      mesh.look()
      mesh.lose(...leaving).look(leaving)
      assert.equal(mesh.after(7_200), undefined)
      mesh.gain(...leaving)
      mesh.look()
      assert.equal(mesh.lose(...leaving).after(60)?.type, 'split', 'they were here again and said nothing')
    }
  })

  it('is silent where a goodbye comes before the first record that has the work', () => {
    const mesh = new Mesh('a', 'b')
    mesh.authors = new Set()
    mesh.look()
    mesh.lose('b').look(['b'])
    mesh.look(Array.from({ length: 1_000 }, (_, n) => `stranger ${n}`))
    mesh.authors = new Set(['a', 'b'])
    assert.equal(mesh.after(120), undefined)
    mesh.look(Array.from({ length: 5_000 }, (_, n) => `stranger ${n}`))
    assert.equal(mesh.after(120), undefined)
    assert.deepEqual([...mesh.state.gone], ['b'], 'goodbyes cost nothing')
  })

  it('does not call forgotten who is heard of a minute later, and not in the run yet, nor who says goodbye on another branch', () => {
    const mesh = new Mesh('a', 'b', 'c')
    mesh.look()
    assert.equal(mesh.lose('b', 'c').after(60)?.type, 'split')
    assert.deepEqual(mesh.look(['b', 'c']), [{ type: 'healed', back: [], given: 'left' }])
    mesh.gain('b', 'c')
    assert.equal(mesh.after(60), undefined)
    mesh.heads.set('c', { branch: 'other', round: 9 })
    assert.equal(mesh.after(90)?.type, 'split')
    assert.deepEqual(mesh.lose('c').look(['c']), [{ type: 'healed', back: [], given: 'left' }])
  })

  it('misses nobody for the time that this node stood still itself', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    mesh.after(20)
    mesh.now += 600_000
    mesh.lose('b', 'c', 'd')
    assert.deepEqual(mesh.look(), [])
    mesh.here = new Set(mesh.members)
    assert.equal(mesh.after(60), undefined)
  })

  it('gives no alarm for a pause shorter than presence takes to be sure', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    mesh.look()
    mesh.lose('c', 'd')
    assert.equal(mesh.after(10), undefined)
    mesh.here = new Set(mesh.members)
    assert.equal(mesh.after(60), undefined)
  })

  it('takes no name in the DHT that may outlive its peer for somebody who is cut off', () => {
    const staleMs = PROVIDER_VALIDITY_MS + PROVIDER_SWEEP_MS + ASK_INTERVAL_MS + ASK_TIMEOUT_MS
    assert.ok(STALE_NAME_MS > staleMs)
    const mesh = new Mesh('a', 'b')
    mesh.announced = new Set(['x', 'y', 'z'])
    mesh.unreachable = mesh.announced
    assert.equal(mesh.after(staleMs / 1_000), undefined)
    mesh.announced = new Set(['z'])
    assert.equal(mesh.after(1_200), undefined)
  })

  it('misses those who were never met for an hour, whoever takes their places, and again after an hour without', () => {
    const mesh = new Mesh('a', 'b')
    const announce = (...peers: string[]): void => {
      mesh.announced = new Set(peers)
      mesh.unreachable = mesh.announced
    }
    announce('x', 'y')
    assert.equal(mesh.after(1_200)?.type, 'split')
    while (mesh.now < 4_600_000) assert.equal(mesh.look()[0]?.type, 'split', `at ${mesh.now}`)
    assert.deepEqual(mesh.after(300), { type: 'healed', back: [], given: 'forgotten' })
    assert.equal(mesh.after(3_600), undefined)
    announce('v', 'w', 'x', 'y')
    assert.equal(mesh.after(3_600), undefined, 'names cost nothing')
    announce()
    mesh.after(600)
    announce('x', 'y')
    assert.equal(mesh.after(3_600), undefined, 'a pause neither')
    announce()
    mesh.after(3_700)
    announce('x', 'y')
    assert.equal(mesh.after(1_200)?.type, 'split')
  })

  it('misses members while strangers are missed no more', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    mesh.announced = new Set(['x', 'y'])
    mesh.unreachable = mesh.announced
    assert.equal(mesh.after(7_200)?.type, 'healed')
    mesh.lose('c', 'd')
    const said = mesh.after(60)
    assert.deepEqual(said?.type === 'split' && said.finding.missing.map(({ peer }) => peer), ['c', 'd'])
  })

  it('takes members that had died one by one before this node came for no cut, and those that went in one round for one', () => {
    const come = (lastRounds: { [peer: string]: number }): Mesh => {
      const mesh = new Mesh('new', 'a', 'b', 'c')
      for (const [peer, round] of Object.entries(lastRounds)) {
        mesh.authors.add(peer)
        mesh.rounds.set(peer, round)
      }
      return mesh
    }
    assert.equal(come({ d: 3, e: 6 }).after(120), undefined)
    const cut = come({ d: 6, e: 5, f: 2 }).after(120)
    assert.deepEqual(cut?.type === 'split' && cut.finding.missing.map(({ peer }) => peer), ['d', 'e'])
  })

  it('names peers that go on being announced, were never met and cannot be called, when there are two', () => {
    const mesh = new Mesh('a', 'b')
    mesh.announced = new Set(['x'])
    mesh.unreachable = new Set(['x', 'y'])
    assert.equal(mesh.after(1_200), undefined)
    mesh.announced = new Set(['x', 'y'])
    const said = mesh.after(1_200)
    assert.ok(said?.type === 'split')
    assert.match(findingSentence(said.finding), /^this node sees a, b; x, y announce the run and could never be reached$/)
    mesh.unreachable = new Set()
    assert.equal(mesh.look()[0]?.type, 'healed')
    mesh.unreachable = new Set(['x', 'y'])
    assert.equal(mesh.look()[0]?.type, 'split')
    mesh.announced = new Set()
    assert.equal(mesh.look()[0]?.type, 'healed')
  })

  it('names who is seen and stays on another branch, not who only changes over', () => {
    const mesh = new Mesh('a', 'b', 'c')
    mesh.heads.set('c', { branch: 'other', round: 9 })
    assert.equal(mesh.after(30), undefined)
    mesh.heads.delete('c')
    assert.equal(mesh.after(120), undefined)
    mesh.heads.set('c', { branch: 'other', round: 9 })
    mesh.look()
    mesh.heads.set('c', { branch: 'unknown', round: 10 })
    const said = mesh.after(90)
    assert.ok(said?.type === 'split')
    assert.equal(findingSentence(said.finding), 'this node sees a, b; c are on another branch since round 9')
    mesh.heads.delete('c')
    assert.equal(mesh.look()[0]?.type, 'healed')
  })

  it('does not call those healed that are here again and on another branch, however long they were away', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    mesh.look()
    mesh.lose('c', 'd').authors = new Set(['a', 'b'])
    assert.equal(mesh.after(60)?.type, 'split')
    mesh.here = new Set(mesh.members)
    for (const peer of ['c', 'd']) mesh.heads.set(peer, { branch: 'other', round: 3 })
    const said = mesh.after(70)
    assert.deepEqual(said?.type === 'split' && said.finding.elsewhere.map(({ peer }) => peer), ['c', 'd'])
    mesh.lose('c', 'd')
    assert.equal(mesh.after(7_200)?.type, 'healed')
    mesh.here = new Set(mesh.members)
    assert.equal(mesh.after(70)?.type, 'split', 'though nobody remembered them')
    mesh.heads.clear()
    assert.deepEqual(mesh.look(), [{ type: 'healed', back: ['c', 'd'], given: 'back' }])
  })

  it('believes no stranger that it is on another branch', () => {
    const mesh = new Mesh('a', 'b', 'c')
    mesh.here.add('stranger')
    mesh.strangers.add('stranger')
    mesh.heads.set('stranger', { branch: 'other', round: 9 })
    assert.equal(mesh.after(300), undefined)
  })

  it('gives up an hour after the last sign of life, and follows a bounded number of peers', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    mesh.look()
    mesh.lose('c', 'd')
    mesh.after(60)
    assert.deepEqual(mesh.after(3_700), { type: 'healed', back: [], given: 'forgotten' })
    assert.equal(mesh.after(7_200), undefined, 'though no record followed those that name them')
    mesh.announced = new Set(Array.from({ length: 5_000 }, (_, n) => `peer ${n}`))
    mesh.unreachable = mesh.announced
    const said = mesh.after(1_200)
    assert.equal(mesh.state.followed.size, 1_024)
    assert.ok(said?.type === 'split' && findingSentence(said.finding).length < 2_000)
  })

  it('misses members that the DHT goes on naming only as long as they answer, beyond what their names outlive them', () => {
    const mesh = new Mesh('a', 'b', 'c', 'd')
    mesh.look()
    mesh.lose('c', 'd').announced = new Set(['c', 'd'])
    assert.equal(mesh.after(10_000)?.type, 'split', 'they live')
    mesh.unreachable = new Set(['c', 'd'])
    assert.deepEqual(mesh.look(), [{ type: 'healed', back: [], given: 'forgotten' }])
    assert.equal(mesh.after(10_000), undefined)
    mesh.here = new Set(mesh.members)
    mesh.look()
    mesh.lose('c', 'd')
    assert.equal(mesh.after(3_600 + STALE_NAME_MS / 1_000 - 60)?.type, 'split', 'nobody knows yet')
    assert.deepEqual(mesh.after(120), { type: 'healed', back: [], given: 'forgotten' })
  })

  it('goes on looking, and follows who comes, when names that are only announced fill all places', () => {
    const mesh = new Mesh('a', 'b')
    mesh.announced = new Set(Array.from({ length: 5_000 }, (_, n) => `peer ${n}`))
    mesh.look()
    mesh.gain('c', 'd')
    mesh.after(60)
    assert.equal(mesh.state.followed.size, 1_024)
    mesh.lose('c', 'd')
    const said = mesh.after(60)
    assert.deepEqual(said?.type === 'split' && said.finding.missing.map(({ peer }) => peer), ['c', 'd'])
  })

  it('follows who gives work, and misses it, when strangers that are here fill all places', () => {
    const mesh = new Mesh('a', 'b')
    for (let n = 0; n < 1_024; n++) mesh.here.add(`stranger ${n}`)
    mesh.look()
    assert.equal(mesh.state.followed.size, 1_024)
    mesh.gain('c', 'd')
    mesh.heads.set('c', { branch: 'other', round: 9 })
    const apart = mesh.after(90)
    assert.deepEqual(apart?.type === 'split' && apart.finding.elsewhere, [{ peer: 'c', sinceRound: 9 }])
    mesh.heads.delete('c')
    assert.equal(mesh.look()[0]?.type, 'healed')
    mesh.lose('c', 'd')
    const said = mesh.after(60)
    assert.deepEqual(said?.type === 'split' && said.finding.missing.map(({ peer }) => peer), ['c', 'd'])
    assert.equal(mesh.state.followed.size, 1_024)
  })
})
