import assert from 'node:assert/strict'
import { rankHash } from '../../../../protocols/rounds/closing.ts'
import {
  advance,
  type Contribution,
  createRounds,
  type RoundCommand,
  type RoundEvent,
  type RoundsState,
  type RunRules,
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

/** Peers in the order in which they may close round 1. */
const order = (rules: RunRules, peers: string[], round = 1): string[] =>
  [...peers].sort((a, b) => (rankHash(rules.run, round, a) < rankHash(rules.run, round, b) ? -1 : 1))

const contributionOf = (peer: string, round = 1, parent = 'run', tokens = 100): Contribution => ({
  run: 'run',
  round,
  parent,
  peer,
  tokens,
  steps: 10,
  loss: 2,
  codec: 'f32',
  norm: 1,
  body: `body ${peer} ${round}`
})

/** One node under test: remembers the clock and all commands. */
class Node {
  now = 0
  state: RoundsState
  commands: RoundCommand[] = []
  constructor(self: string | null, rules: RunRules = RULES, state?: RoundsState) {
    this.state = state ?? createRounds(rules, self, { now: 0 })
  }
  tell(...events: RoundEvent[]): RoundCommand[] {
    const commands = events.flatMap(event => advance(this.state, event, this.now).commands)
    this.commands.push(...commands)
    return commands
  }
  at(now: number, ...events: RoundEvent[]): RoundCommand[] {
    this.now = now
    return this.tell(...events, { type: 'tick' })
  }
  live(...peers: string[]): RoundCommand[] {
    const { head, round } = viewOf(this.state)
    return this.tell(...peers.map(peer => ({ type: 'peerLive' as const, peer, head, round, trains: true })))
  }
  /** A contribution of that peer, held here and by its author. */
  held(peer: string, round = 1, parent = 'run', tokens = 100): RoundCommand[] {
    const cid = `c ${peer} ${round}`
    return this.tell(
      { type: 'contribution', cid, contribution: contributionOf(peer, round, parent, tokens) },
      { type: 'contributionHeld', cid }
    )
  }
}

const of = <T extends RoundCommand['type']>(commands: RoundCommand[], type: T): Extract<RoundCommand, { type: T }>[] =>
  commands.filter((command): command is Extract<RoundCommand, { type: T }> => command.type === type)

describe('advance()', () => {
  const [first, second, third] = order(RULES, RULES.genesisPeers) as [string, string, string]

  it('closes at once when it is first in rank and holds what all live trainers gave', () => {
    const node = new Node(first)
    assert.equal(of(node.tell({ type: 'tick' }), 'syncHeads').length, 1)
    node.tell({ type: 'synced' })
    node.live(second, third)
    assert.deepEqual(of(node.held(second), 'close'), [])
    node.held(third)
    node.held(first)
    assert.deepEqual(of(node.commands, 'close'), [])
    const [close] = of(node.tell({ type: 'holding', peer: second, contributions: [`c ${first} 1`] }), 'close')
    assert.deepEqual(close, {
      type: 'close',
      round: 1,
      parent: 'run',
      parentAnchor: 'anchor0',
      contributions: ['A', 'B', 'C'].map(peer => ({ cid: `c ${peer} 1`, age: 0, peer, tokens: 100 }))
    })
    const record = {
      run: 'run',
      round: 1,
      parent: 'run',
      contributions: close!.contributions.map(({ cid }) => cid),
      anchor: 'anchor1',
      closer: first
    }
    const done = node.tell({ type: 'record', cid: 'r1', record }, { type: 'recordComputed', cid: 'r1', anchor: 'anchor1' })
    assert.deepEqual(of(done, 'compute'), [])
    assert.deepEqual(of(done, 'publish'), [{ type: 'publish', cid: 'r1' }])
    const [adopt] = of(done, 'adopt')
    assert.deepEqual(adopt!.own, [{ cid: `c ${first} 1`, fate: 'included' }])
    assert.equal(adopt!.previous, 'run')
    assert.equal(adopt!.fork, false)
    assert.equal(viewOf(node.state).round, 1)
  })
})
