// Whatever happened before: what gossip brings and is called no news would change nothing that the rules need, and what may count for the open round is called news, however often it is said.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ageAfter } from '../../protocols/rounds/chain/validity.ts'
import {
  advance,
  type Contribution,
  createRounds,
  isNews,
  type RoundCommand,
  type RoundGossip,
  type RoundRecord,
  type RoundsState,
  type RunRules,
  viewOf
} from '../../protocols/rounds/index.ts'

const RULES: RunRules = {
  ...{ run: 'run', genesisAnchor: 'anchor', genesisPeers: ['A', 'B', 'C'], admission: 'open' as const, quorum: 1 },
  ...{ deadlineMs: 1_000, graceMs: 100, fetchTimeoutMs: 500, maxTokensPerRound: 1_000, maxSteps: 10 }
}
const PEERS = ['A', 'B', 'C', 'D', 'E']

/** One act: which it is, whose, on which of the things that there are, and how. */
const acts = fc.array(fc.tuple(fc.nat(9), fc.nat(4), fc.nat(), fc.nat(5)), { minLength: 10, maxLength: 120 })

class Node {
  now = 0
  readonly state: RoundsState = createRounds(RULES, 'A', { now: 0 })
  readonly heard: RoundGossip[] = []
  readonly #onHearing: (event: RoundGossip) => void

  constructor(onHearing: (event: RoundGossip) => void) {
    this.#onHearing = onHearing
    this.#obey(advance(this.state, [{ type: 'tick' }, { type: 'synced' }], 0).commands)
  }

  act([kind, who, which, how]: [number, number, number, number]): void {
    const peer = PEERS[who]!
    const { contributions, head, tree } = this.state
    const cids = [...contributions.keys()]
    const records = [...tree.byCid.values()]
    const some = <T>(list: readonly T[]): T | undefined => list[which % list.length]
    if (kind <= 2) this.#give(peer, how === 0 ? some(records)! : how === 1 ? (head.parent ?? head) : head, how)
    else if (kind === 3) this.#hear({ type: 'holding', peer, contributions: [some(cids) ?? 'never', `${how}`].slice(how % 2) })
    else if (kind === 4) this.#close(peer, some(how < 4 ? [head] : records)!, how)
    else if (kind === 5) this.#tell({ type: 'peerLive', peer, head: some(records)!.cid, round: head.round, trains: how > 0 })
    else if (kind === 6)
      this.#tell({ type: 'contributionRefused', cid: some(cids) ?? 'never', reason: how === 0 ? 'bad_body' : 'fetch_timeout' })
    else if (kind <= 8 && this.heard.length > 0) this.#hear(some(this.heard)!)
    else {
      this.now += 50 * (how + 1)
      this.#tell({ type: 'tick' })
    }
  }

  #give(peer: string, parent: { cid: string; round: number }, how: number): void {
    const isAhead = how === 2
    const round = parent.round + 1 + (isAhead ? 12 : 0)
    const facts = { run: 'run', round, parent: isAhead ? 'far ahead' : parent.cid, peer, tokens: 10, steps: how === 3 ? 99 : 1 }
    const contribution: Contribution = { ...facts, loss: 1, codec: 'f32', norm: 1, body: 'body' }
    const event = { type: 'contribution', cid: `${peer}/${facts.parent}/${facts.steps}`, contribution } as const
    // Its own it has from itself.
    if (peer === 'A') this.#tell(event)
    else this.#hear(event)
  }

  #close(closer: string, parent: { cid: string; round: number }, how: number): void {
    const listed = [...this.state.contributions.values()].filter(({ contribution }) => contribution.parent === parent.cid)
    const contributions = listed.map(({ cid }) => cid).sort()
    // One of a contribution that was never heard of here.
    if (how === 1) contributions.push(`Z/${parent.cid}/1`)
    const record: RoundRecord = { run: 'run', round: parent.round + 1, parent: parent.cid, contributions, anchor: 'anchor', closer }
    if (closer !== 'A') this.#hear({ type: 'record', cid: `record(${closer}/${parent.cid}/${contributions.length})`, record })
  }

  #hear(event: RoundGossip): void {
    this.heard.push(event)
    this.#onHearing(event)
    this.#tell(event)
  }

  #tell(event: Parameters<typeof advance>[1]): void {
    this.#obey(advance(this.state, event, this.now).commands)
  }

  #obey(commands: readonly RoundCommand[]): void {
    for (const command of commands) {
      if (command.type === 'compute') this.#tell({ type: 'recordComputed', cid: command.cid, anchor: 'anchor' })
      else if (command.type === 'fetchAnchor') this.#tell({ type: 'recordComputed', cid: command.cid, anchor: command.anchor })
      else if (command.type === 'fetchContribution' && command.body) this.#tell({ type: 'contributionHeld', cid: command.cid })
      else if (command.type === 'close') {
        const { round, parent, contributions } = command
        const listed = contributions.map(({ cid }) => cid)
        const cid = `record(A/${parent}/${listed.length})`
        this.#tell({ type: 'record', cid, record: { run: 'run', round, parent, contributions: listed, anchor: 'anchor', closer: 'A' } })
        this.#tell({ type: 'recordComputed', cid, anchor: 'anchor' })
      }
    }
  }
}

/** What the rules know and want then; not what they say of it, nor what they ask again for, which the next tick may do as well. */
function outcome(state: RoundsState, event: RoundGossip | { type: 'tick' }, now: number) {
  const copy = structuredClone(state)
  const { commands } = advance(copy, event, now)
  const { contributions, lacking, orphans, toFetch, tree } = copy
  return {
    commands: commands.filter(command => command.type !== 'report' && !('body' in command && !command.body)),
    view: { ...viewOf(copy), nextAt: 0 },
    kept: [contributions, lacking, orphans].map(map => [...map.keys()]),
    records: [...tree.byCid.values()].map(({ cid, status, ready }) => [cid, status, ready]),
    toFetch: [...toFetch]
  }
}

describe('isNews()', () => {
  it('holds for all contributions and records without which the rules would be elsewhere', () => {
    fc.assert(
      fc.property(acts, list => {
        const node: Node = new Node(event => {
          const { state, now } = node
          // What was refused the rules would refuse anew.
          if (event.type !== 'holding' && !state.refusals.has(event.cid) && !isNews(state, event))
            assert.deepEqual(outcome(state, event, now), outcome(state, { type: 'tick' }, now))
        })
        for (const act of list) node.act(act)
      })
    )
  })

  it('holds for what has a place in the open round or is ahead of it, each time, and for what a record lacks', () => {
    fc.assert(
      fc.property(acts, list => {
        const node: Node = new Node(event => {
          const { contributions, head, lacking, passedOver, refusals } = node.state
          const counts = (contribution: Contribution): boolean => ageAfter(head, contribution) !== null || contribution.round > head.round
          if (event.type === 'contribution') {
            const { cid, contribution } = event
            const isOut = refusals.has(cid) || (passedOver.get(cid) ?? 'too_far_ahead') !== 'too_far_ahead'
            if (lacking.has(cid) || (!isOut && counts(contribution))) assert.ok(isNews(node.state, event), cid)
          } else if (event.type === 'holding') {
            for (const named of event.contributions) {
              const open = contributions.get(named)
              if (open !== undefined && !refusals.has(named) && counts(open.contribution)) assert.ok(isNews(node.state, event), named)
            }
          }
        })
        for (const act of list) node.act(act)
      })
    )
  })
})
