import assert from 'node:assert/strict'
import { closingOrder } from '../../../../protocols/rounds/closing.ts'
import {
  advance,
  type Contribution,
  closerOf,
  createRounds,
  holdingToTell,
  isNews,
  isTooOld,
  type RoundCommand,
  type RoundEvent,
  type RoundRecord,
  type RoundsStart,
  type RoundsState,
  type RunRules,
  reopenRounds,
  type Trunk,
  targetRound,
  viewOf
} from '../../../../protocols/rounds/index.ts'

const RULES: RunRules = {
  run: 'run',
  genesisAnchor: 'anchor0',
  genesisPeers: ['A', 'B', 'C'],
  admission: 'open',
  quorum: 2,
  deadlineMs: 20_000,
  graceMs: 3_000,
  fetchTimeoutMs: 10_000,
  maxTokensPerRound: 1_000
}

/** The named peers in the order in which they may close round 1. */
const [FIRST, SECOND, THIRD] = closingOrder('run', 1, new Set(RULES.genesisPeers), []) as [string, string, string]

const made = (peer: string, round = 1, parent = 'run', tokens = 100): Contribution => ({
  run: 'run',
  round,
  parent,
  peer,
  tokens,
  steps: 10,
  loss: 2,
  codec: 'f32',
  norm: 1,
  body: `body of ${peer} ${round}`
})
const nameOf = (peer: string, round = 1): string => `${peer}${round}`
const recordOf = (closer: string, contributions: string[], round = 1, parent = 'run'): RoundRecord => ({
  run: 'run',
  round,
  parent,
  contributions,
  anchor: `anchor of ${contributions.join()}`,
  closer
})

type Commands<T> = Extract<RoundCommand, { type: T }>[]
const of = <T extends RoundCommand['type']>(commands: RoundCommand[], type: T): Commands<T> =>
  commands.filter(command => command.type === type) as Commands<T>

/** One node whose world is told by hand. */
class Node {
  now = 0
  readonly state: RoundsState
  constructor(self: string | null, rules: Partial<RunRules> = {}, start: Partial<RoundsStart> = {}) {
    this.state = createRounds({ ...RULES, ...rules }, self, { now: 0, ...start })
    this.tell({ type: 'tick' }, { type: 'synced' })
  }
  get view(): ReturnType<typeof viewOf> {
    return viewOf(this.state)
  }
  tell(...events: RoundEvent[]): RoundCommand[] {
    return events.flatMap(event => advance(this.state, event, this.now).commands)
  }
  at(now: number, ...events: RoundEvent[]): RoundCommand[] {
    this.now = now
    return this.tell(...events, { type: 'tick' })
  }
  live(peers: string[], trains = true): RoundCommand[] {
    const { head, round } = this.view
    return this.tell(...peers.map(peer => ({ type: 'peerLive' as const, peer, head, round, trains })))
  }
  seen(peer: string, round = 1, parent = 'run', tokens = 100): RoundCommand[] {
    return this.tell({ type: 'contribution', cid: nameOf(peer, round), contribution: made(peer, round, parent, tokens) })
  }
  /** Contributions of these peers, whole here. */
  held(peers: string[], round = 1, parent = 'run'): RoundCommand[] {
    return peers.flatMap(peer => [...this.seen(peer, round, parent), ...this.tell({ type: 'contributionHeld', cid: nameOf(peer, round) })])
  }
  holding(peer: string, ...contributions: string[]): RoundCommand[] {
    return this.tell({ type: 'holding', peer, contributions })
  }
  record(cid: string, record: RoundRecord): RoundCommand[] {
    return this.tell({ type: 'record', cid, record })
  }
  computed(cid: string, record: RoundRecord): RoundCommand[] {
    return this.tell({ type: 'recordComputed', cid, anchor: record.anchor })
  }
}

/** A node that holds what all three gave in round 1, and knows that the others hold its own. */
function full(self: string, rules: Partial<RunRules> = {}): { node: Node; commands: RoundCommand[] } {
  const node = new Node(self, rules)
  const others = RULES.genesisPeers.filter(peer => peer !== self)
  const commands = [...node.live(others), ...node.held(RULES.genesisPeers), ...node.holding(others[0]!, nameOf(self))]
  return { node, commands }
}

const ALL = ['A1', 'B1', 'C1']

describe('closing a round', () => {
  it('is for the first in rank as soon as all live trainers have given', () => {
    const { node, commands } = full(FIRST)
    const [close] = of(commands, 'close')
    assert.deepEqual(close, {
      type: 'close',
      round: 1,
      parent: 'run',
      parentAnchor: 'anchor0',
      contributions: ['A', 'B', 'C'].map(peer => ({ cid: nameOf(peer), age: 0, peer, tokens: 100 }))
    })
    const record = recordOf(FIRST, ALL)
    assert.deepEqual(of(node.record('r1', record), 'compute'), [], 'it was computed before it was signed')
    const done = node.computed('r1', record)
    assert.deepEqual(of(done, 'publish'), [{ type: 'publish', cid: 'r1' }])
    const [adopt] = of(done, 'adopt')
    assert.deepEqual(adopt!.own, [{ cid: nameOf(FIRST), fate: 'included' }])
    assert.deepEqual([adopt!.previous, adopt!.fork, node.view.round], ['run', false, 1])
  })

  it('is expected of the first in rank, live or not, by all who know the record before', () => {
    const node = new Node(THIRD)
    assert.deepEqual([closerOf(node.state, 1), closerOf(node.state, 2)], [FIRST, null])
    node.live([SECOND])
    assert.equal(closerOf(node.state, 1), FIRST, 'if it dies, nobody else becomes the one')
    node.held(RULES.genesisPeers)
    const record = recordOf(SECOND, ALL)
    node.record('r1', record)
    const [next] = closingOrder('run', 2, new Set(RULES.genesisPeers), [])
    assert.equal(closerOf(node.state, 2), next, 'as soon as it is on the way to that record')
    node.computed('r1', record)
    assert.deepEqual([closerOf(node.state, 1), closerOf(node.state, 2), closerOf(node.state, 3)], [FIRST, next, null])
  })

  it('is for each further rank a grace later, counting live nodes only', () => {
    const { node: second, commands } = full(SECOND)
    assert.deepEqual(of(commands, 'close'), [])
    assert.equal(second.state.nextAt, 3_000)
    assert.deepEqual(of(second.at(2_999), 'close'), [])
    assert.equal(of(second.at(3_000), 'close').length, 1)
    const { node: third } = full(THIRD)
    assert.equal(of(third.tell({ type: 'peerGone', peer: SECOND }), 'close').length, 0)
    assert.equal(of(third.at(3_000), 'close').length, 1, 'one live node is ahead')
  })

  it('waits for a live trainer to the deadline, once; then no longer until it gives again', () => {
    const node = new Node(FIRST)
    node.live([SECOND, THIRD])
    node.held([FIRST, SECOND])
    node.holding(SECOND, nameOf(FIRST))
    assert.deepEqual(of(node.at(19_999), 'close'), [])
    const commands = node.at(20_000)
    assert.equal(of(commands, 'close').length, 1)
    assert.deepEqual(
      of(commands, 'report').map(({ code, subject }) => [code, subject]),
      [['peer_silent', THIRD]]
    )
    const record = recordOf(FIRST, [nameOf(FIRST), nameOf(SECOND)].sort())
    node.record('r1', record)
    node.computed('r1', record)
    node.live([SECOND, THIRD])
    const [before] = closingOrder('run', 2, new Set(RULES.genesisPeers), []).filter(peer => peer !== THIRD)
    node.held([FIRST, SECOND], 2, 'r1')
    const next = node.holding(SECOND, nameOf(FIRST, 2))
    const later = before === FIRST ? next : node.at(node.now + 3_000)
    assert.equal(of(later, 'close').length, 1, 'the silent one is not waited for')
    assert.ok(!node.state.silent.has(SECOND) && node.state.silent.has(THIRD))
    node.seen(THIRD, 2, 'r1')
    assert.ok(!node.state.silent.has(THIRD))
  })

  it('waits for strangers who say that they train for a grace, however many there are, and takes what they give in it', () => {
    const first = closingOrder('run', 2, new Set(RULES.genesisPeers), [])[0]!
    const { node } = full(first)
    const record = recordOf(FIRST, ALL)
    node.record('r1', record)
    node.computed('r1', record)
    node.live(RULES.genesisPeers.filter(peer => peer !== first))
    node.live(['X', 'Y'])
    node.held(RULES.genesisPeers, 2, 'r1')
    node.holding(SECOND, ...RULES.genesisPeers.map(peer => nameOf(peer, 2)))
    node.holding(FIRST, ...RULES.genesisPeers.map(peer => nameOf(peer, 2)))
    node.at(2_000)
    node.held(['X'], 2, 'r1')
    node.live(['Z'])
    assert.deepEqual(of(node.at(2_999), 'close'), [])
    const [close] = of(node.at(3_000), 'close')
    assert.deepEqual(
      close!.contributions.map(({ cid }) => cid),
      ['A2', 'B2', 'C2', 'X2']
    )
  })

  it('does not wait for those who only look on', () => {
    const node = new Node(FIRST)
    node.live([SECOND])
    node.live([THIRD], false)
    node.held([FIRST, SECOND])
    assert.equal(of(node.holding(THIRD, nameOf(FIRST)), 'close').length, 1)
  })

  it('a head that was asked for says nothing about whether its peer trains', () => {
    const node = new Node(FIRST)
    node.live([SECOND, THIRD])
    node.tell({ type: 'peerLive', peer: THIRD, head: 'run', round: 0 })
    node.held([FIRST, SECOND])
    assert.deepEqual(of(node.holding(SECOND, nameOf(FIRST)), 'close'), [], 'the third is still waited for')
  })

  it('counts only what another live node holds too', () => {
    const { node } = full(FIRST)
    const alone = new Node(FIRST)
    alone.live([SECOND, THIRD])
    alone.held([FIRST, SECOND, THIRD])
    const [close] = of(alone.at(20_000), 'close')
    assert.deepEqual(
      close!.contributions.map(({ peer }) => peer),
      [SECOND, THIRD].sort(),
      'nobody else is known to hold our own'
    )
    assert.ok(node.state.closing !== null)
  })

  it('counts everything when nobody else is live', () => {
    const node = new Node(FIRST)
    node.live([SECOND])
    node.held([FIRST, SECOND])
    const commands = node.tell({ type: 'peerGone', peer: SECOND })
    assert.equal(of(commands, 'close')[0]!.contributions.length, 2)
  })

  it('waits below the quorum, says for how many, and goes on when another comes', () => {
    const node = new Node(FIRST)
    node.held([FIRST])
    const commands = node.at(100_000)
    assert.deepEqual(of(commands, 'close'), [])
    assert.equal(node.view.waitingFor, 'waiting for 1 more')
    node.live(['X'])
    assert.equal(node.view.waitingFor, null)
    node.held(['X'])
    assert.equal(of(node.holding('X', nameOf(FIRST)), 'close').length, 1)
  })

  it('with a quorum of 1 a node goes on alone', () => {
    const node = new Node('A', { quorum: 1, genesisPeers: ['A'] })
    assert.equal(of(node.held(['A']), 'close').length, 1)
  })

  it('is for other contributors when no ranked node is live', () => {
    const node = new Node('X', { genesisPeers: ['gone'] })
    node.live(['Y'])
    node.held(['X', 'Y'])
    node.holding('Y', 'X1')
    assert.equal(of(node.at(3_000), 'close').length, 1)
  })

  it('is not for who neither is ranked nor contributes, nor for who is not admitted', () => {
    for (const [self, admission] of [
      ['X', 'open'],
      [FIRST, ['B', 'C', 'A'].filter(peer => peer !== FIRST)]
    ] as const) {
      const node = new Node(self, { admission: admission === 'open' ? admission : [...admission] }, { trains: false })
      node.live([SECOND, THIRD])
      node.held([SECOND, THIRD])
      assert.deepEqual(of(node.at(100_000), 'close'), [])
    }
  })

  it('is tried again after a failure', () => {
    const { node } = full(FIRST)
    const failed = node.tell({ type: 'closeFailed', round: 1, reason: 'disk_full' })
    assert.deepEqual(of(failed, 'close'), [])
    assert.equal(of(failed, 'report')[0]!.code, 'disk_full')
    assert.equal(of(node.at(3_000), 'close').length, 1)
  })

  it('fetches a body that vanished again, and closes without it when it cannot be had', () => {
    const { node } = full(FIRST)
    const lost = nameOf(THIRD)
    const failed = node.tell({ type: 'closeFailed', round: 1, reason: 'close_failed', missing: [lost] })
    assert.deepEqual(
      of(failed, 'fetchContribution').map(({ cid, body }) => [cid, body]),
      [[lost, true]]
    )
    assert.ok(!holdingToTell(node.state).includes(lost))
    assert.deepEqual(of(node.at(19_999), 'close'), [], 'its author trains and may still be asked')
    const [close] = of(node.at(20_000), 'close')
    assert.deepEqual(
      close!.contributions.map(({ cid }) => cid),
      [nameOf(FIRST), nameOf(SECOND)].sort()
    )
  })

  it('counts a body that vanished again as soon as it is back', () => {
    const { node } = full(FIRST)
    const lost = nameOf(THIRD)
    node.tell({ type: 'closeFailed', round: 1, reason: 'close_failed', missing: [lost] })
    node.now = 3_000
    const [close] = of(node.tell({ type: 'contributionHeld', cid: lost }), 'close')
    assert.equal(close!.contributions.length, 3)
  })

  it('leaves those ahead the time that an anchor takes to compute', () => {
    const { node } = full(SECOND)
    node.at(3_000)
    node.now = 7_000
    const record = recordOf(SECOND, ALL)
    node.record('r1', record)
    node.computed('r1', record)
    assert.equal(node.state.computeMs, 2_000)
  })

  it('takes late contributions into the next round, with age 1', () => {
    const node = new Node(FIRST)
    node.live([SECOND, THIRD])
    node.held([FIRST, SECOND])
    node.holding(SECOND, nameOf(FIRST))
    node.at(20_000)
    const record = recordOf(FIRST, [nameOf(FIRST), nameOf(SECOND)].sort())
    node.record('r1', record)
    node.computed('r1', record)
    const late = node.held([THIRD])
    assert.deepEqual(
      of(late, 'report').map(({ code }) => code),
      ['late']
    )
    node.live([SECOND, THIRD])
    node.held([FIRST, SECOND], 2, 'r1')
    node.holding(SECOND, nameOf(FIRST, 2))
    const [close] = of([...node.at(node.now + 20_000), ...node.at(node.now + 9_000)], 'close')
    assert.deepEqual(
      close!.contributions.map(({ cid, age }) => [cid, age]),
      ['A', 'B', 'C'].map(peer => (peer === THIRD ? [nameOf(peer), 1] : [nameOf(peer, 2), 0]))
    )
  })
})

describe("somebody else's record", () => {
  it('is computed when its parts are here, and adopted', () => {
    const { node } = full(THIRD)
    const record = recordOf(FIRST, ALL)
    const [compute] = of(node.record('r1', record), 'compute')
    assert.equal(compute!.parentAnchor, 'anchor0')
    assert.deepEqual(
      compute!.contributions.map(({ cid }) => cid),
      ALL
    )
    const done = node.computed('r1', record)
    assert.equal(of(done, 'adopt').length, 1)
    assert.deepEqual(of(done, 'publish'), [])
  })

  it('has its unknown parts fetched from whoever has it, envelopes first', () => {
    const node = new Node('X')
    node.tell({ type: 'peerLive', peer: SECOND, head: 'r1', round: 1, trains: true })
    const asked = node.record('r1', recordOf(FIRST, ['A1', 'B1']))
    assert.deepEqual(
      of(asked, 'fetchContribution').map(({ cid, body, holders }) => [cid, body, [...holders].sort()]),
      ['A1', 'B1'].map(cid => [cid, false, [FIRST, SECOND].sort()])
    )
    const bodies = [...node.seen('A'), ...node.seen('B')]
    assert.deepEqual(
      of(bodies, 'fetchContribution').map(({ cid, body }) => [cid, body]),
      [
        ['A1', true],
        ['B1', true]
      ].filter(([cid]) => cid !== 'A1' || true)
    )
    node.tell({ type: 'contributionHeld', cid: 'A1' })
    assert.equal(of(node.tell({ type: 'contributionHeld', cid: 'B1' }), 'compute').length, 1)
  })

  it('holds up our own closing for one fetch; then it is left out, and chosen after all when its parts come', () => {
    const node = new Node(SECOND)
    node.live([FIRST, THIRD])
    node.held([SECOND, THIRD])
    node.holding(THIRD, nameOf(SECOND))
    const record = recordOf(FIRST, ALL)
    node.seen(FIRST)
    node.record('r1', record)
    assert.deepEqual(of(node.at(9_999), 'close'), [])
    const left = node.at(10_000)
    assert.equal(of(left, 'report')[0]!.code, 'record_unavailable')
    assert.deepEqual(of(left, 'close'), [], 'the author still has to give by the deadline')
    assert.equal(of(node.at(20_000), 'close').length, 1)
    const own = recordOf(SECOND, [nameOf(SECOND), nameOf(THIRD)].sort())
    node.record('own', own)
    assert.equal(of(node.computed('own', own), 'publish').length, 1)
    assert.equal(of(node.tell({ type: 'contributionHeld', cid: nameOf(FIRST) }), 'compute').length, 1)
    const [adopt] = of(node.computed('r1', record), 'adopt')
    assert.deepEqual([adopt!.cid, adopt!.fork, adopt!.previous, adopt!.ancestor], ['r1', true, 'own', { cid: 'run', round: 0 }])
  })

  it('has a body that vanished before it was computed fetched again, and is computed then', () => {
    const { node } = full(THIRD)
    const record = recordOf(FIRST, ALL)
    node.record('r1', record)
    const failed = node.tell({ type: 'recordUnavailable', cid: 'r1', missing: [nameOf(SECOND)] })
    assert.deepEqual(
      of(failed, 'fetchContribution').map(({ cid, body }) => [cid, body]),
      [[nameOf(SECOND), true]]
    )
    const again = [...node.tell({ type: 'contributionHeld', cid: nameOf(SECOND) }), ...node.at(10_000)]
    assert.equal(of(again, 'compute').length, 1)
    assert.equal(of(node.computed('r1', record), 'adopt').length, 1)
  })

  it('is invalid when its anchor is another, and the round goes on without it', () => {
    const { node } = full(SECOND)
    node.record('r1', recordOf(FIRST, ALL))
    const commands = node.tell({ type: 'recordComputed', cid: 'r1', anchor: 'something else' })
    assert.deepEqual(
      of(commands, 'report').map(({ code, peer }) => [code, peer]),
      [['anchor_mismatch', FIRST]]
    )
    assert.equal(of([...commands, ...node.at(10_000)], 'close').length, 1)
  })

  it('is invalid when it lists what was refused by content', () => {
    const { node } = full(SECOND)
    node.tell({ type: 'contributionRefused', cid: nameOf(THIRD), reason: 'non_finite' })
    const commands = node.record('r1', recordOf(FIRST, ALL))
    assert.equal(of(commands, 'report')[0]!.code, 'bad_contribution')
    assert.deepEqual(of(commands, 'compute'), [])
  })

  it('is taken with its chain, whatever comes first', () => {
    const node = new Node('X')
    const one = recordOf('A', ['A1', 'B1'])
    const two = recordOf('B', ['A2', 'B2'], 2, 'r1')
    const orphan = node.record('r2', two)
    assert.deepEqual(of(orphan, 'fetchRecord')[0]!.cid, 'r1')
    node.record('r1', one)
    for (const peer of ['A', 'B']) {
      node.held([peer])
      node.held([peer], 2, 'r1')
    }
    node.computed('r1', one)
    node.computed('r2', two)
    assert.equal(node.view.head, 'r2')
  })

  it('that is far ahead is reached by an anchor of others', () => {
    const node = new Node('X')
    node.live(['A', 'B'])
    let parent = 'run'
    const commands: RoundCommand[] = []
    for (let round = 1; round <= 10; round++) {
      for (const peer of ['A', 'B']) node.seen(peer, round, parent)
      commands.push(...node.record(`r${round}`, recordOf('A', [nameOf('A', round), nameOf('B', round)], round, parent)))
      parent = `r${round}`
    }
    const asked = of(commands, 'fetchAnchor').at(-1)!
    assert.ok(asked.round >= 5, `round ${asked.round}`)
    const at = asked.cid
    const taken = node.tell({ type: 'recordComputed', cid: at, anchor: asked.anchor })
    assert.deepEqual(
      of(taken, 'adopt').map(({ cid }) => cid),
      [at]
    )
    assert.equal(of(taken, 'report')[0]!.code, 'joined_by_anchor')
  })

  it('as the tip of a chain that comes in record by record, is waited for: nothing of long ago is asked for on the way', () => {
    const node = new Node('X', { deadlineMs: 60_000 })
    node.live(['A', 'B'])
    const parentOf = (round: number): string => (round === 1 ? 'run' : `r${round - 1}`)
    for (let round = 1; round <= 20; round++)
      node.record(`r${round}`, recordOf('A', [nameOf('A', round), nameOf('B', round)], round, parentOf(round)))
    const commands: RoundCommand[] = []
    for (let round = 1; round <= 20; round++) {
      node.now += 200
      for (const peer of ['A', 'B']) commands.push(...node.seen(peer, round, parentOf(round)))
    }
    assert.deepEqual(
      of(commands, 'fetchAnchor').map(({ round }) => round),
      [14]
    )
    const bodies = of(commands, 'fetchContribution').filter(({ body }) => body)
    assert.ok(bodies.every(({ cid }) => Number(cid.slice(1)) >= 14))
  })

  it('is not waited for on account of records elsewhere, whoever makes them one after the other', () => {
    const { node } = full(THIRD)
    const next = recordOf(FIRST, ALL)
    for (let round = 2; round <= 8; round++)
      node.record(`f${round}`, recordOf('X', [`x${round}`, `y${round}`], round, round === 2 ? 'r1' : `f${round - 1}`))
    node.record('r1', next)
    const commands: RoundCommand[] = []
    for (let n = 0; n < 4; n++) {
      commands.push(...node.at(1_000 * (n + 1), ...['X', 'Y'].map(peer => contributionOf(peer, n))))
      commands.push(...node.record(`side${n}`, recordOf('X', [`X${n}`, `Y${n}`], n + 1, n === 0 ? 'run' : `side${n - 1}`)))
    }
    assert.equal(of(commands, 'compute').filter(({ cid }) => cid === 'r1').length, 1)
    function contributionOf(peer: string, n: number): RoundEvent {
      const parent = n === 0 ? 'run' : `side${n - 1}`
      return { type: 'contribution', cid: `${peer}${n}`, contribution: made(peer, n + 1, parent) }
    }
  })

  it('that turns out to be out of reach leaves the bodies of the open round wanted', () => {
    const node = new Node('A')
    node.live(['B'])
    node.held(['A'])
    node.seen('B')
    const parentOf = (round: number): string => (round === 1 ? 'run' : `y${round - 1}`)
    for (let round = 1; round <= 6; round++) {
      for (const peer of ['Y', 'Z']) node.seen(peer, round, parentOf(round))
      node.record(`y${round}`, recordOf('Y', [nameOf('Y', round), nameOf('Z', round)], round, parentOf(round)))
    }
    const asked: number[] = []
    for (let now = 1_000; now < 120_000; now += 1_000) {
      const commands = node.at(now)
      for (const { cid } of of(commands, 'fetchAnchor')) commands.push(...node.at(now, { type: 'recordUnavailable', cid }))
      if (now === 28_000) commands.push(...node.at(now, { type: 'contributionRefused', cid: 'B1', reason: 'fetch_timeout' }))
      if (of(commands, 'fetchContribution').some(({ body, cid }) => body && cid === 'B1')) asked.push(now)
    }
    assert.ok(
      asked.some(at => at > 28_000),
      `asked at ${asked}`
    )
  })

  it('is not waited for when a grace has passed since the last record whose parts are known', () => {
    const node = new Node('X', { deadlineMs: 60_000 })
    node.live(['A', 'B'])
    for (let round = 1; round <= 20; round++)
      node.record(`r${round}`, recordOf('A', [nameOf('A', round), nameOf('B', round)], round, round === 1 ? 'run' : `r${round - 1}`))
    for (const peer of ['A', 'B']) node.seen(peer)
    assert.deepEqual(
      of(node.at(2_999), 'fetchContribution').filter(({ body }) => body),
      []
    )
    assert.equal(of(node.at(3_000), 'fetchContribution').filter(({ body }) => body).length, 2)
  })
})

describe('two records for one parent', () => {
  const lists = [
    [FIRST, ALL],
    [SECOND, ALL]
  ] as const
  it('end in the same one whichever comes first', () => {
    const heads = [lists, [...lists].reverse()].map(order => {
      const { node } = full(THIRD)
      for (const [closer, list] of order) {
        const record = recordOf(closer, [...list])
        node.record(`by ${closer}`, record)
        node.computed(`by ${closer}`, record)
      }
      return node.view.head
    })
    assert.deepEqual(heads, [`by ${FIRST}`, `by ${FIRST}`])
  })

  it('our own is not shown when the mesh moved on, or when a better one is here', () => {
    for (const adopted of [true, false]) {
      const { node } = full(SECOND)
      node.at(3_000)
      const theirs = recordOf(FIRST, ALL)
      node.record('theirs', theirs)
      if (adopted) node.computed('theirs', theirs)
      const ours = recordOf(SECOND, ALL)
      const commands = [...node.record('ours', ours), ...node.computed('ours', ours)]
      assert.deepEqual(of(commands, 'publish'), [])
      assert.equal(of(commands, 'report')[0]!.code, 'superseded')
    }
  })
})

describe('a record that closes its round early', () => {
  /** Strangers' record, as it comes to a node that has heard of the members and holds what the strangers gave. */
  const early = (self: string): { node: Node; record: RoundRecord; commands: RoundCommand[] } => {
    const node = new Node(self)
    node.live(RULES.genesisPeers.filter(peer => peer !== self))
    node.held(['X', 'Y'])
    const record = recordOf('X', ['X1', 'Y1'])
    return { node, record, commands: node.record('early', record) }
  }

  it('is reported, and followed at the deadline when nobody has anything heavier', () => {
    const { node, record, commands } = early(FIRST)
    assert.deepEqual(
      of(commands, 'report').map(({ code, subject }) => [code, subject]),
      [['closed_early', 'early']]
    )
    assert.deepEqual(of([...commands, ...node.at(19_999)], 'compute'), [])
    assert.equal(of(node.at(20_000), 'compute').length, 1)
    assert.equal(of(node.computed('early', record), 'adopt').length, 1)
  })

  it('keeps nobody from closing the round with all that was given', () => {
    const { node } = early(FIRST)
    node.held([SECOND, THIRD])
    node.holding(THIRD, 'X1', 'Y1')
    node.held([FIRST])
    const [close] = of(node.holding(THIRD, nameOf(FIRST)), 'close')
    assert.equal(close!.parent, 'run')
    assert.equal(close!.contributions.length, 5)
    const ours = recordOf(
      FIRST,
      close!.contributions.map(({ cid }) => cid)
    )
    node.record('ours', ours)
    assert.deepEqual(
      of(node.computed('ours', ours), 'adopt').map(({ cid, fork }) => [cid, fork]),
      [['ours', false]]
    )
  })

  it('gives way after the deadline to what is heavier, and is followed when nobody closes that', () => {
    const { node } = early(THIRD)
    node.held([SECOND, THIRD])
    node.holding(SECOND, nameOf(THIRD))
    node.tell({ type: 'peerLive', peer: FIRST, head: 'run', round: 0, trains: false })
    assert.deepEqual(of(node.at(20_000), 'compute'), [])
    const heavier = recordOf(SECOND, [nameOf(SECOND), nameOf(THIRD)].sort())
    assert.deepEqual(
      of(node.record('heavier', heavier), 'compute').map(({ cid }) => cid),
      ['heavier']
    )
    const { node: observer } = early('Z')
    observer.held([SECOND, THIRD])
    observer.holding(SECOND, nameOf(THIRD))
    assert.deepEqual(of(observer.at(25_999), 'compute'), [])
    assert.equal(of(observer.at(26_000), 'compute').length, 1)
  })

  it('is followed as soon as most members have moved on to it', () => {
    const { node } = early(FIRST)
    const moved = (peer: string): RoundCommand[] => node.tell({ type: 'peerLive', peer, head: 'early', round: 1, trains: true })
    assert.deepEqual(of([...moved('X'), ...moved('Y'), ...moved(SECOND)], 'compute'), [])
    assert.equal(of(moved(THIRD), 'compute').length, 1)
  })

  it('is followed at once when those it lacks are gone', () => {
    const node = new Node(THIRD)
    node.live([FIRST, SECOND])
    node.held([SECOND, THIRD])
    const record = recordOf(SECOND, [nameOf(SECOND), nameOf(THIRD)].sort())
    assert.deepEqual(of(node.record('r1', record), 'compute'), [])
    assert.equal(of(node.tell({ type: 'peerGone', peer: FIRST }), 'compute').length, 1)
  })

  it('does not excuse what a later closer leaves out', () => {
    const { node } = early(SECOND)
    node.now = 1_000
    node.held(RULES.genesisPeers)
    node.holding(FIRST, ...ALL)
    node.now = 20_500
    const record = recordOf(FIRST, [nameOf(FIRST), nameOf(SECOND)].sort())
    node.record('r1', record)
    const commands = [...node.computed('r1', record), ...node.at(24_000)]
    assert.ok(of(commands, 'report').some(({ code }) => code === 'rival_proposed'))
  })
})

describe('a rival', () => {
  /** The second holds all; the first closes without the third. */
  const leftOut = (at: number, third: (node: Node) => void): { node: Node; commands: RoundCommand[] } => {
    const node = new Node(SECOND)
    node.live([FIRST, THIRD])
    node.held([FIRST, SECOND])
    third(node)
    node.now = at
    const record = recordOf(FIRST, [nameOf(FIRST), nameOf(SECOND)].sort())
    node.record('r1', record)
    return { node, commands: [...node.computed('r1', record), ...node.at(at + 3_000)] }
  }

  it('is proposed for what was held in time and left out', () => {
    const { node, commands } = leftOut(5_000, each => each.held([THIRD]))
    const [close] = of(commands, 'close')
    assert.equal(close!.parent, 'run')
    assert.equal(close!.round, 1)
    assert.deepEqual(
      close!.contributions.map(({ cid }) => cid),
      ALL
    )
    const rival = recordOf(SECOND, ALL)
    node.record('rival', rival)
    const done = node.computed('rival', rival)
    assert.deepEqual(of(done, 'publish'), [{ type: 'publish', cid: 'rival' }])
    assert.equal(of(done, 'adopt')[0]!.fork, true)
  })

  it('is not proposed for what came within a grace of the record', () => {
    const { commands } = leftOut(5_000, node => {
      node.now = 2_500
      node.held([THIRD])
    })
    assert.deepEqual(of(commands, 'close'), [])
  })

  it('is not proposed for what was not whole', () => {
    const { commands } = leftOut(5_000, node => node.seen(THIRD))
    assert.deepEqual(of(commands, 'close'), [])
  })

  it('is not proposed for strangers, whose work weighs nothing yet', () => {
    const { commands } = leftOut(5_000, node => node.held(['X']))
    assert.deepEqual(of(commands, 'close'), [])
  })
})

describe('a gap in the timers', () => {
  it('means asking for heads before anything is closed', () => {
    const { node } = full(SECOND)
    assert.deepEqual(of(node.at(100_000, { type: 'paused' }), 'syncHeads').length, 1)
    assert.deepEqual(of(node.at(101_000), 'close'), [])
    assert.equal(of([...node.tell({ type: 'synced' }), ...node.at(105_000)], 'close').length, 1)
  })

  it('does not last for ever when the answer never comes', () => {
    const { node } = full(SECOND)
    node.at(100_000, { type: 'paused' })
    assert.equal(of([...node.at(120_000), ...node.at(124_000)], 'close').length, 1)
  })

  it('makes what was being closed before it unwanted', () => {
    const { node } = full(FIRST)
    node.at(100_000, { type: 'paused' })
    const record = recordOf(FIRST, ALL)
    const commands = [...node.record('r1', record), ...node.computed('r1', record)]
    assert.deepEqual(of(commands, 'publish'), [])
    assert.equal(node.view.head, 'run')
  })
})

describe('createRounds()', () => {
  it('goes on from what is on disk, and asks for heads first', () => {
    const one = recordOf('A', ['A1', 'B1'])
    const two = recordOf('B', ['A2', 'B2'], 2, 'r1')
    const contributions = ['A', 'B'].flatMap(peer => [
      { cid: nameOf(peer), contribution: made(peer), held: true },
      { cid: nameOf(peer, 2), contribution: made(peer, 2, 'r1'), held: true },
      { cid: nameOf(peer, 3), contribution: made(peer, 3, 'r2'), held: peer === 'A' }
    ])
    const state = createRounds(RULES, 'A', {
      now: 5,
      records: [
        { cid: 'r1', record: one, ready: true },
        { cid: 'r2', record: two, ready: true }
      ],
      contributions
    })
    const view = viewOf(state)
    assert.deepEqual([view.head, view.round, view.syncing], ['r2', 2, true])
    assert.deepEqual(
      view.own.map(({ cid, fate }) => [cid, fate]),
      [
        ['A1', 'included'],
        ['A2', 'included'],
        ['A3', null]
      ]
    )
    const { commands } = advance(state, { type: 'tick' }, 5)
    assert.equal(of(commands, 'syncHeads').length, 1)
    assert.deepEqual(holdingToTell(state), ['A3'])
    assert.deepEqual(
      of(commands, 'fetchContribution').map(({ cid, body }) => [cid, body]),
      [['B3', true]]
    )
  })

  it('begins at a later record as if it had forgotten what came before', () => {
    const authors = [
      ['A', 'B'],
      ['A', 'D'],
      ['B', 'C'],
      ['A', 'C'],
      ['A', 'B']
    ]
    const records = authors.map((pair, i) => {
      const parent = i === 0 ? 'run' : `r${i}`
      const record = recordOf(
        pair[0]!,
        pair.map(peer => nameOf(peer, i + 1)),
        i + 1,
        parent
      )
      return { cid: `r${i + 1}`, record, ready: true }
    })
    const contributions = records.flatMap(({ record: { round, parent } }) =>
      authors[round - 1]!.map(peer => ({ cid: nameOf(peer, round), contribution: made(peer, round, parent), held: true }))
    )
    const { cid, record } = records[2]!
    const trunk: Trunk = {
      cid,
      record,
      parts: authors[2]!.map(peer => ({ cid: nameOf(peer, 3), age: 0, peer, tokens: 100 })),
      known: ['A', 'B', 'C', 'D'],
      recent: [...authors.slice(0, 3).reverse(), RULES.genesisPeers]
    }
    const whole = new Node('A', {}, { records, contributions })
    const late = new Node(
      'A',
      {},
      { trunk, records: records.slice(3), contributions: contributions.filter(({ contribution }) => contribution.round > 3) }
    )
    const { own: _, ...view } = whole.view
    const { own: lateOwn, ...lateView } = late.view
    assert.deepEqual(lateView, view)
    assert.deepEqual(
      lateOwn.map(({ fate }) => fate),
      ['included', 'included']
    )
    // D was accepted in what it does not remember: its work still weighs.
    for (const node of [whole, late]) {
      const sibling = recordOf('D', [nameOf('A', 5), nameOf('B', 5), nameOf('D', 5)], 5, 'r4')
      node.held(['D'], 5, 'r4')
      node.record('s5', sibling)
      assert.equal(node.view.moving?.cid, 's5')
    }
    // Heads that rest on one that parted before: each that an author has is told of, whoever else has one, and one of those that strangers have.
    const live = (peer: string, head: string) => late.tell({ type: 'peerLive', peer, head, round: 3, trains: true })
    for (const stranger of ['X', 'Y', 'Z']) live(stranger, stranger === 'Z' ? 'p3' : 'o3')
    live('C', 'q3')
    live('D', 'q3')
    const reported = (cid: string, parts: string[]) =>
      of(late.record(cid, recordOf('B', parts, 3, 'r2')), 'report').map(({ code, peer, subject }) => [code, peer, subject])
    assert.deepEqual(reported('o3', ['A3', 'B3']), [['fork_too_old', 'X', 'o3']])
    assert.deepEqual(reported('q3', ['A3', 'C3']), [['fork_too_old', 'C', 'q3']])
  })

  it('begins again with more history in the same open round, whose deadline stays', () => {
    const records = [{ cid: 'r1', record: recordOf('A', ['A1', 'B1']), ready: true }]
    const contributions = ['A', 'B'].map(peer => ({ cid: nameOf(peer), contribution: made(peer), held: true }))
    const node = new Node('A')
    node.held(['A', 'B'])
    node.record('r1', records[0]!.record)
    node.at(5_000)
    node.computed('r1', records[0]!.record)
    const { head, deadlineAt } = node.view
    assert.equal(head, 'r1')
    const again = viewOf(reopenRounds(node.state, { now: 17_000, records, contributions }))
    assert.deepEqual([again.head, again.deadlineAt], ['r1', deadlineAt])
  })

  it('begins again for one branch and stays on the way to another, and takes what grows on the one that it goes to', () => {
    const given = [made('A'), made('B'), { ...made('C'), tokens: 900 }]
    const contributions = given.map(contribution => ({ cid: nameOf(contribution.peer), contribution, held: true }))
    const ours = { cid: 'r1', record: recordOf('A', ['A1', 'B1']), ready: true }
    const heavier = { cid: 'x1', record: recordOf('B', ['B1', 'C1']), ready: false }
    const lighter = { cid: 'y1', record: recordOf('C', ['A1', 'B1']), ready: false }
    const node = new Node('A', {}, { records: [ours], contributions })
    // They came while both chains were read.
    node.state.tooOld.add('x2').add('y2')
    const unmoved = reopenRounds(node.state, { now: 1, records: [ours, lighter], contributions })
    assert.deepEqual([viewOf(unmoved).moving, [...unmoved.tooOld]], [null, ['x2', 'y2']], 'nobody has to look again')
    const moving = reopenRounds(unmoved, { now: 2, records: [ours, heavier], contributions })
    assert.deepEqual([viewOf(moving).moving?.cid, [...moving.tooOld]], ['x1', []])
    const again = reopenRounds(moving, { now: 3, records: [ours, lighter], contributions })
    assert.equal(viewOf(again).moving?.cid, 'x1')
    again.tooOld.add('x1')
    const { commands } = advance(again, { type: 'record', cid: 'x2', record: recordOf('B', ['B2', 'C2'], 2, 'x1') }, 4)
    assert.deepEqual(of(commands, 'report'), [])
    assert.ok(again.tree.byCid.has('x2'))
  })

  it('goes on with a record whose anchor was not computed yet', () => {
    const one = recordOf('A', ['A1', 'B1'])
    const node = new Node(
      'C',
      {},
      {
        records: [{ cid: 'r1', record: one, ready: false }],
        contributions: ['A', 'B'].map(peer => ({ cid: nameOf(peer), contribution: made(peer), held: true }))
      }
    )
    assert.equal(node.view.moving?.cid, 'r1')
    assert.equal(targetRound(node.state), 1)
    node.computed('r1', one)
    assert.equal(node.view.head, 'r1')
  })
})

/** A node whose chain of A's and B's work is longer than what it remembers; `others` are live meanwhile, each with a head. */
function past(rounds: number, others: Record<string, string> = {}): { node: Node; commands: RoundCommand[] } {
  const node = new Node('X')
  const commands: RoundCommand[] = []
  for (let round = 1, parent = 'run'; round <= rounds; parent = `r${round++}`) {
    const record = recordOf('A', [nameOf('A', round), nameOf('B', round)], round, parent)
    commands.push(...node.held(['A', 'B'], round, parent), ...node.record(`r${round}`, record), ...node.computed(`r${round}`, record))
    if (round > 1) continue
    commands.push(...node.record('s1', recordOf('B', ['A1', 'B1'])))
    for (const [peer, head] of Object.entries(others))
      commands.push(...node.tell({ type: 'peerLive', peer, head, round: 1, trains: false }))
  }
  return { node, commands }
}

describe('a branch that parted before all that is remembered', () => {
  const fetched = (commands: RoundCommand[]) => of(commands, 'fetchRecord').map(({ cid }) => cid)
  const tooOld = (commands: RoundCommand[]) =>
    of(commands, 'report').flatMap(({ code, peer, subject }) => (code === 'fork_too_old' ? [[peer, subject]] : []))

  it('is asked for once where others stand on it, and not at all where we stood there too', () => {
    const { node, commands } = past(260, { C: 'r1', D: 's1' })
    assert.ok(node.state.tree.root.round > 1)
    assert.deepEqual([node.state.tooOld.has('r1'), node.state.tooOld.has('s1')], [true, false])
    assert.deepEqual(fetched(commands), ['s1'])
  })

  it('is known by each new head’s record alone, and told for it', () => {
    const { node } = past(260)
    node.tell({ type: 'peerLive', peer: 'C', head: 'o3', round: 3, trains: true })
    assert.deepEqual(tooOld(node.record('o3', recordOf('C', ['A3', 'C3'], 3, 'o2'))), [['C', 'o3']])
    assert.deepEqual(fetched(node.tell({ type: 'peerLive', peer: 'C', head: 'o9', round: 9, trains: true })), ['o9'])
    assert.deepEqual([isTooOld(node.state, 'o3'), isTooOld(node.state, 'o9')], [true, false])
    assert.deepEqual(tooOld(node.record('o4', recordOf('C', ['A4', 'C4'], 4, 'o3'))), [])
    assert.deepEqual(tooOld(node.record('o9', recordOf('C', ['A9', 'C9'], 9, 'o4'))), [['C', 'o9']])
  })

  it('is asked for again, after a fetch timeout, where nobody could look at it and it does not grow', () => {
    const { node } = past(260)
    const record = recordOf('C', ['A3', 'C3'], 3, 'o2')
    node.tell({ type: 'peerLive', peer: 'C', head: 'o3', round: 3, trains: true })
    node.record('o3', record)
    assert.deepEqual(fetched(node.at(60_000)), [], 'it is being looked at')
    const failed = [...node.tell({ type: 'recordUnavailable', cid: 'o3' }), ...node.at(69_999)]
    assert.deepEqual(fetched(failed), [])
    assert.deepEqual(fetched(node.at(70_000)), ['o3'])
    assert.deepEqual(tooOld(node.record('o3', record)), [['C', 'o3']])
    assert.deepEqual(fetched(node.at(140_000)), [])
  })
})

describe('a head', () => {
  it('is asked for from an author first, however many strangers name it', () => {
    const node = new Node('A')
    for (let n = 0; n < 100; n++) node.tell({ type: 'peerLive', peer: `stranger ${n}`, head: 'r9', round: 9 })
    node.tell({ type: 'peerLive', peer: 'B', head: 'r9', round: 9 })
    const [ask] = of(node.at(RULES.fetchTimeoutMs), 'fetchRecord')
    assert.deepEqual([ask!.holders[0], ask!.holders.length], ['B', 16])
  })
})

describe('a flood', () => {
  it('of old work that was accepted long ago leaves nothing behind that grows', () => {
    const peers = Array.from({ length: 700 }, (_, i) => `p${String(i).padStart(3, '0')}`)
    const records = [1, 2, 3].map(round => {
      const parent = round === 1 ? 'run' : `r${round - 1}`
      return {
        cid: `r${round}`,
        record: recordOf(
          'A',
          peers.map(peer => nameOf(peer, round)),
          round,
          parent
        ),
        ready: true
      }
    })
    const contributions = records.flatMap(({ record: { round, parent } }) =>
      peers.map(peer => ({ cid: nameOf(peer, round), contribution: made(peer, round, parent), held: true }))
    )
    const node = new Node('A', {}, { records, contributions })
    for (const { cid, contribution } of contributions) node.tell({ type: 'contribution', cid, contribution })
    assert.equal(node.state.passedOver.size, 1_024)
  })

  it('of contributions is bounded for each author, and strangers make room for the known', () => {
    const node = new Node('A')
    for (let n = 0; n < 10; n++) node.tell({ type: 'contribution', cid: `b${n}`, contribution: { ...made('B'), body: `${n}` } })
    assert.equal(node.state.contributions.size, 2)
    for (let n = 0; n < 3_000; n++) node.tell({ type: 'contribution', cid: `s${n}`, contribution: made(`S${n}`) })
    assert.equal(node.state.contributions.size, 2_048)
    node.seen('C')
    assert.ok(node.state.contributions.has('C1'))
    assert.equal(node.state.contributions.size, 2_048)
  })

  it('of contributions reaches eight rounds beyond the open one', () => {
    const node = new Node('A')
    const codes = (round: number) => of(node.seen('B', round, `parent of ${round}`), 'report').map(({ code }) => code)
    assert.deepEqual([codes(9), codes(10)], [[], ['too_far_ahead']])
    assert.deepEqual([...node.state.contributions.keys()], ['B9'])
  })

  it('of names that nobody can show, of refusals and of peers is bounded', () => {
    const node = new Node('A')
    const names = Array.from({ length: 4_500 }, (_, n) => `n${n}`)
    node.live(names)
    for (const name of names) node.holding('n1', name)
    for (const name of names)
      node.tell({ type: 'contribution', cid: `old ${name}`, contribution: { ...made('B'), round: 900, parent: name } })
    for (const name of names) node.tell({ type: 'contributionRefused', cid: name, reason: 'bad_signature' })
    const { unknown, refusals, passedOver, peers } = node.state
    assert.ok(unknown.size <= 1_024 && refusals.size <= 4_096 && passedOver.size <= 1_024 && peers.size <= 4_096)
  })

  it('of records is bounded for each closer, but what a live peer has as its head is let in', () => {
    const { node } = full(THIRD)
    const lists = [['A1', 'B1'], ['A1', 'C1'], ['B1', 'C1'], ALL]
    for (const list of lists) node.record(list.join(), recordOf(FIRST, list))
    assert.equal(node.state.tree.root.children.length, 2)
    node.tell({ type: 'peerLive', peer: SECOND, head: ALL.join(), round: 1, trains: true })
    node.record(ALL.join(), recordOf(FIRST, ALL))
    assert.equal(node.state.tree.root.children.length, 3)
  })

  it('of records that their closer shows late, each heavier, takes nobody back until most are on one', () => {
    const { node } = full(THIRD)
    const first = recordOf(FIRST, ALL)
    node.record('r1', first)
    node.computed('r1', first)
    assert.equal(node.view.head, 'r1')
    const late = (now: number, more: string): RoundCommand[] => {
      node.now = now
      node.tell({ type: 'contribution', cid: more, contribution: { ...made(FIRST, 1, 'run', 100 + now), body: more } })
      node.tell({ type: 'contributionHeld', cid: more })
      return node.record(`with ${more}`, recordOf(FIRST, [...ALL.filter(cid => cid !== nameOf(FIRST)), more].sort()))
    }
    const shown = late(5_000, `${FIRST}2`)
    assert.deepEqual(of(shown, 'compute'), [])
    assert.deepEqual(
      of(shown, 'report').map(({ code }) => code),
      ['closed_late']
    )
    const there = [FIRST, SECOND].flatMap(peer => node.tell({ type: 'peerLive', peer, head: `with ${FIRST}2`, round: 1, trains: true }))
    assert.equal(of(there, 'compute').length, 1)
  })

  it('that came too late to take us back does not make what we close next superseded', () => {
    const { node } = full(THIRD)
    const first = recordOf(FIRST, ALL)
    node.record('r1', first)
    node.computed('r1', first)
    node.live([FIRST, SECOND])
    node.now = 5_000
    const more = `${FIRST}more`
    node.tell({ type: 'contribution', cid: more, contribution: { ...made(FIRST, 1, 'run', 500), body: more } })
    node.tell({ type: 'contributionHeld', cid: more })
    node.record('late', recordOf(FIRST, [...ALL.filter(cid => cid !== nameOf(FIRST)), more].sort()))
    node.held(RULES.genesisPeers, 2, 'r1')
    for (const peer of [FIRST, SECOND]) node.holding(peer, nameOf(THIRD, 2))
    assert.equal(node.state.late?.cid, 'late')
    const [close] = of(node.at(15_000), 'close')
    const ours = recordOf(
      THIRD,
      close!.contributions.map(({ cid }) => cid),
      2,
      'r1'
    )
    assert.deepEqual(of(node.record('ours', ours), 'report'), [])
    assert.deepEqual(
      of(node.computed('ours', ours), 'publish').map(({ cid }) => cid),
      ['ours']
    )
  })

  it('of ranked authors who name something one after the other holds a round up for one fetch in all', () => {
    const liars = Array.from({ length: 10 }, (_, n) => `L${n}`)
    for (const lie of ['records', 'heads']) {
      const node = new Node('A', { genesisPeers: ['A', 'B', ...liars] })
      node.live(['B'])
      node.live(liars, false)
      node.at(1_000)
      node.seen('A')
      node.seen('B')
      const tellNext = (now: number, liar: string): RoundCommand[] =>
        lie === 'heads'
          ? node.at(now, { type: 'peerLive', peer: liar, head: `nowhere ${liar}`, round: 5, trains: false })
          : node.at(now, { type: 'record', cid: `r ${liar}`, record: recordOf(liar, [`ghost ${liar}`]) })
      tellNext(1_050, liars[0]!)
      node.held(['A', 'B'])
      node.holding('B', nameOf('A'))
      let closedAt: number | null = null
      for (let now = 1_100; closedAt === null && now < 100_000; now += 50) {
        const liar = (now - 1_050) % 9_900 === 0 ? liars[(now - 1_050) / 9_900] : undefined
        if (of(liar === undefined ? node.at(now) : tellNext(now, liar), 'close').length > 0) closedAt = now
      }
      assert.ok(closedAt !== null && closedAt >= 10_950 && closedAt <= 30_000, `${lie}: closed at ${closedAt}`)
    }
  })

  it('of a head further on has who is not ranked wait for ten fetches', () => {
    const node = new Node('X')
    node.live([FIRST, 'Y'])
    node.held(['X', 'Y'])
    node.holding('Y', nameOf('X'))
    node.tell({ type: 'peerLive', peer: FIRST, head: 'far', round: 84, trains: true })
    let now = 0
    while (of(node.at(now), 'close').length === 0 && now < 200_000) now += 500
    assert.ok(now >= 100_000 && now <= 110_000, `closed at ${now}`)
  })

  it('of heads that do not exist delays a round by one fetch at most', () => {
    const node = new Node(SECOND)
    node.live([FIRST, THIRD])
    node.held([SECOND, THIRD])
    node.holding(THIRD, nameOf(SECOND))
    for (let now = 0; now <= 26_000; now += 500) {
      const commands = node.at(now, { type: 'peerLive', peer: FIRST, head: `nowhere ${now}`, round: 1, trains: true })
      if (of(commands, 'close').length > 0) return assert.ok(now <= 23_000, `closed at ${now}`)
    }
    return assert.fail('never closed')
  })
})

describe('announcements', () => {
  it('tell at once what nobody but its author is known to hold', () => {
    const node = new Node('A')
    node.live(['B', 'C', 'D'])
    assert.deepEqual(of(node.held(['A']), 'announceHolding'), [], 'its author has just shown it to all')
    assert.deepEqual(of(node.held(['B']), 'announceHolding'), [{ type: 'announceHolding', contributions: ['B1'] }])
    node.seen('C')
    node.holding('B', 'C1')
    assert.deepEqual(of(node.held(['C']), 'announceHolding'), [], 'B has said so')
  })

  it('tell with presence what too few members are known to hold, and go on telling it', () => {
    const names = Array.from({ length: 30 }, (_, n) => `n${n}`)
    const node = new Node('A', { genesisPeers: ['A', 'B', ...names] })
    node.live(['B', ...names])
    node.seen('B')
    for (const name of names.slice(0, 6)) node.holding(name, 'B1')
    node.held(['B'])
    assert.deepEqual(holdingToTell(node.state), ['B1'], 'seven members hold it')
    for (const name of names) node.holding(name, 'B1')
    assert.deepEqual(holdingToTell(node.state), ['B1'], 'who relied on it would miss it')
    const late = new Node('A', { genesisPeers: ['A', 'B', ...names] })
    late.live(['B', ...names])
    late.seen('B')
    for (const name of names.slice(0, 7)) late.holding(name, 'B1')
    late.held(['B'])
    assert.deepEqual(holdingToTell(late.state), [], 'eight members hold it')
    late.tell({ type: 'peerGone', peer: names[0]! })
    assert.deepEqual(holdingToTell(late.state), ['B1'], 'one of them is gone')
  })

  it('count members only, who take the place of strangers among those that are remembered', () => {
    const strangers = Array.from({ length: 30 }, (_, n) => `s${n}`)
    const node = new Node('A')
    node.live(['B', 'C', ...strangers])
    node.seen('B')
    for (const stranger of strangers) node.holding(stranger, 'B1')
    node.held(['B'])
    assert.deepEqual(holdingToTell(node.state), ['B1'])
    node.holding('C', 'B1')
    const { holders } = node.state.contributions.get('B1')!
    assert.ok(holders.has('C'))
    assert.equal(holders.size, 16)
  })

  it('are left to members by who is none, while one beside the author lives', () => {
    const node = new Node('stranger', { genesisPeers: ['B', 'C'] })
    node.live(['B', 'C', 'D'])
    assert.deepEqual(of(node.held(['B']), 'announceHolding'), [])
    assert.deepEqual(holdingToTell(node.state), ['B1'], 'if nobody says it, it is told with presence')
    const alone = new Node('stranger', { genesisPeers: ['B', 'C'] })
    alone.live(['B', 'D'])
    assert.deepEqual(of(alone.held(['B']), 'announceHolding'), [{ type: 'announceHolding', contributions: ['B1'] }])
  })

  it('tell at once what only strangers say that they hold', () => {
    const node = new Node('A')
    node.live(['B', 'C', 'stranger'])
    node.seen('B')
    node.holding('stranger', 'B1')
    assert.deepEqual(of(node.held(['B']), 'announceHolding'), [{ type: 'announceHolding', contributions: ['B1'] }])
  })

  it('tell it although eight of 25 members say that they hold it, when its author is gone', () => {
    const members = Array.from({ length: 25 }, (_, n) => `M${n + 10}`)
    const node = new Node('M34', { genesisPeers: members })
    node.live(members.slice(0, 24))
    node.seen('M30')
    for (const liar of members.slice(0, 8)) node.holding(liar, 'M301')
    node.held(['M30'])
    assert.deepEqual(holdingToTell(node.state), [])
    node.tell({ type: 'peerGone', peer: 'M30' })
    assert.deepEqual(holdingToTell(node.state), ['M301'])
  })

  it("tell members' work before strangers', who may give any number of names", () => {
    const node = new Node('A')
    node.live(['B', 'C'])
    node.held([...Array.from({ length: 200 }, (_, n) => `0${n}`), 'B'])
    assert.equal(holdingToTell(node.state)[0], 'B1')
    assert.equal(holdingToTell(node.state).length, 201)
  })

  it('ask for what others hold and we do not know', () => {
    const node = new Node('A')
    const [asked] = of(node.holding('B', 'C1'), 'fetchContribution')
    assert.deepEqual(asked, { type: 'fetchContribution', cid: 'C1', author: null, holders: ['B'], body: false })
    assert.deepEqual(node.holding('C', 'C1'), [], 'asked for once')
    assert.deepEqual(of(node.seen('C'), 'fetchContribution')[0]!.body, true)
  })

  it('a body that could not be had is asked for again, at once when somebody else has it', () => {
    const node = new Node('A')
    node.live(['B', 'C'])
    assert.equal(of(node.seen('B'), 'fetchContribution').length, 1)
    const refused = node.tell({ type: 'contributionRefused', cid: 'B1', reason: 'fetch_timeout' })
    assert.deepEqual(of(refused, 'fetchContribution'), [])
    assert.deepEqual(of(node.holding('C', 'B1'), 'fetchContribution')[0]!.holders.sort(), ['B', 'C'])
  })

  it('a contribution that was refused by content is not asked for again', () => {
    const node = new Node('A')
    node.live(['B', 'C'])
    node.seen('B')
    node.tell({ type: 'contributionRefused', cid: 'B1', reason: 'norm_too_large' })
    assert.deepEqual(of([...node.holding('C', 'B1'), ...node.at(100_000)], 'fetchContribution'), [])
  })
})

describe('news', () => {
  /** After two rounds of A and B. */
  function third(self: string, rules: Partial<RunRules> = {}): Node {
    const records = [
      { cid: 'r1', record: recordOf('A', ['A1', 'B1']), ready: true },
      { cid: 'r2', record: recordOf('B', ['A2', 'B2'], 2, 'r1'), ready: true }
    ]
    const contributions = ['A', 'B'].flatMap(peer => [
      { cid: nameOf(peer), contribution: made(peer), held: true },
      { cid: nameOf(peer, 2), contribution: made(peer, 2, 'r1'), held: true }
    ])
    return new Node(self, rules, { records, contributions })
  }
  const saysWork = ({ state }: Node, peer: string, round: number, parent = `r${round - 1}`, more: Partial<Contribution> = {}): boolean =>
    isNews(state, { type: 'contribution', cid: nameOf(peer, round), contribution: { ...made(peer, round, parent), ...more } })
  const saysRecord = ({ state }: Node, cid: string, record: RoundRecord): boolean => isNews(state, { type: 'record', cid, record })
  const saysHolding = ({ state }: Node, ...contributions: string[]): boolean => isNews(state, { type: 'holding', peer: 'B', contributions })

  it('is each contribution that may count for the open round, however often it is said, and whatever is ahead', () => {
    const node = third('A')
    for (const [round, parent] of [
      [3, 'r2'],
      // It came late for the last round.
      [2, 'r1'],
      [5, 'unknown'],
      [99, 'unknown']
    ] as const) {
      assert.ok(saysWork(node, 'C', round, parent), `${round}`)
      node.seen('C', round, parent)
      assert.ok(saysWork(node, 'C', round, parent), `${round}, again`)
      assert.ok(saysHolding(node, 'A1', nameOf('C', round)), `that C holds that of ${round}`)
    }
  })

  it('is no contribution that is settled, was passed over or refused, by its facts or its body', () => {
    const node = third('A', { maxSteps: 20 })
    node.live(['B', 'C'])
    assert.equal(saysWork(node, 'B', 1, 'run'), false)
    assert.equal(saysHolding(node, 'A1', 'B1'), false)
    const lie = { steps: 21 }
    assert.ok(saysWork(node, 'B', 3, 'r2', lie))
    const [refused] = of(node.tell({ type: 'contribution', cid: 'B3', contribution: { ...made('B', 3, 'r2'), ...lie } }), 'report')
    assert.equal(refused!.code, 'too_many_steps')
    assert.equal(saysWork(node, 'B', 3, 'r2', lie), false)
    node.seen('C', 3, 'r2')
    node.tell({ type: 'contributionRefused', cid: 'C3', reason: 'bad_body' })
    assert.equal(saysWork(node, 'C', 3, 'r2'), false)
    assert.equal(saysHolding(node, 'B3', 'C3'), false)
    for (const cid of ['one', 'two', 'D3']) node.tell({ type: 'contribution', cid, contribution: made('D', 3, 'r2') })
    assert.equal(saysWork(node, 'D', 3, 'r2'), false, 'the third of one author')
  })

  it('is a contribution of any age that a record lacks', () => {
    const node = third('A')
    assert.equal(saysWork(node, 'C', 1, 'run'), false)
    node.record('other', recordOf('C', ['C1', 'C2'], 2, 'r1'))
    assert.ok(saysWork(node, 'C', 1, 'run'))
    assert.ok(saysHolding(node, 'C1'))
  })

  it('is not that somebody holds what was never heard of here: it may be of rounds that are forgotten', () => {
    const node = third('A')
    assert.equal(saysHolding(node, 'never'), false)
    assert.equal(of(node.holding('B', 'never'), 'fetchContribution').length, 1, 'and yet it is asked for')
    assert.equal(saysHolding(node, 'never'), false)
  })

  it('is each record ahead of the head, and one of another branch once', () => {
    const node = third('A')
    const [next, other] = [recordOf('B', ['B3', 'C3'], 3, 'r2'), recordOf('C', ['B2', 'C2'], 2, 'r1')]
    const orphan = recordOf('B', ['B9'], 9, 'r8')
    for (const [cid, record] of Object.entries({ next, orphan })) {
      assert.ok(saysRecord(node, cid, record))
      node.record(cid, record)
      assert.ok(saysRecord(node, cid, record), 'who is behind passes it on')
    }
    assert.ok(saysRecord(node, 'other', other))
    node.record('other', other)
    assert.equal(saysRecord(node, 'other', other), false)
  })

  it('is no record of our chain, none that is invalid, none of our own and none from before all that is remembered', () => {
    const node = third('A')
    assert.equal(saysRecord(node, 'r1', recordOf('A', ['A1', 'B1'])), false)
    assert.equal(saysRecord(node, 'r2', recordOf('B', ['A2', 'B2'], 2, 'r1')), false)
    assert.equal(saysRecord(node, 'a2', recordOf('A', ['A2'], 2, 'r1')), false)
    node.seen('B', 3, 'r2')
    const wrong = recordOf('B', ['B3'], 3, 'r2')
    assert.ok(saysRecord(node, 'wrong', wrong))
    node.record('wrong', wrong)
    assert.equal(saysRecord(node, 'wrong', wrong), false)
    const record = recordOf('B', ['A9', 'B9'], 9, 'r8')
    const trunk: Trunk = { cid: 'r9', record, parts: [], known: ['A', 'B'], recent: [['A', 'B']] }
    const late = new Node('A', {}, { trunk })
    assert.equal(saysRecord(late, 'old', recordOf('B', ['A9'], 9, 'r8')), false)
    assert.ok(saysRecord(late, 'new', recordOf('B', ['A10'], 10, 'r9')))
    late.record('branch', recordOf('B', ['B10'], 10, 'gone'))
    assert.ok(isTooOld(late.state, 'branch'))
    assert.equal(saysRecord(late, 'branch', recordOf('B', ['B10'], 10, 'gone')), false)
  })
})
