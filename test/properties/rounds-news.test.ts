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
  type RoundEvent,
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
const acts = fc.array(fc.tuple(fc.nat(9), fc.nat(4), fc.nat(), fc.nat(5)), { minLength: 10, maxLength: 120, size: 'max' })

/** Where a contribution is made. */
type Place = Pick<RoundsState['head'], 'cid' | 'round'>

class Node {
  now = 0
  readonly state: RoundsState = createRounds(RULES, 'A', { now: 0 })
  readonly heard: RoundGossip[] = []
  /** All work that was ever named, by CID, whether or not anybody gave it. */
  readonly #named = new Map<string, Contribution>()
  readonly #cids = new Map<string, string>()
  /** What it closed itself, to be told before it acts again: one that is superseded may be closed anew at once. */
  readonly #closed: RoundEvent[] = []
  readonly #onHearing: (event: RoundGossip) => void

  constructor(onHearing: (event: RoundGossip) => void) {
    this.#onHearing = onHearing
    this.#obey(advance(this.state, [{ type: 'tick' }, { type: 'synced' }], 0).commands)
  }

  act([kind, who, which, how]: [number, number, number, number]): void {
    for (const event of this.#closed.splice(0)) this.#tell(event)
    const peer = PEERS[who]!
    const { contributions, head, lacking, tree } = this.state
    const some = <T>(list: Iterable<T>): T | undefined => [...list][which % Math.max(1, [...list].length)]
    const record = some(tree.byCid.values())!
    const open = some(contributions.keys()) ?? 'never'
    if (kind === 0) this.#give(some(lacking.keys()) ?? this.#work(peer, record, how))
    else if (kind <= 2) this.#give(this.#work(peer, how === 1 ? (head.parent ?? head) : head, how))
    else if (kind === 3) this.#hear({ type: 'holding', peer, contributions: [open, `${how}`].slice(how % 2) })
    else if (kind === 4) this.#close(peer, how < 4 ? head : record, how)
    else if (kind === 5) this.#tell({ type: 'peerLive', peer, head: record.cid, round: record.round, trains: how > 0 })
    else if (kind === 6) this.#tell({ type: 'contributionRefused', cid: open, reason: how === 0 ? 'bad_body' : 'fetch_timeout' })
    else if (kind <= 8 && this.heard.length > 0) this.#hear(some(this.heard)!)
    else {
      this.now += 50 * (how + 1)
      this.#tell({ type: 'tick' })
    }
  }

  #work(peer: string, { cid: parent, round }: Place, how: number): string {
    const place = how === 2 ? { round: round + 13, parent: 'far ahead' } : { round: round + 1, parent }
    const contribution = { run: 'run', ...place, peer, tokens: 10, steps: how === 3 ? 99 : 1, loss: 1, codec: 'f32', norm: 1, body: 'body' }
    const cid = this.#cid(contribution)
    this.#named.set(cid, contribution)
    return cid
  }

  #give(cid: string): void {
    const event = { type: 'contribution', cid, contribution: this.#named.get(cid)! } as const
    // Its own it has from itself.
    if (event.contribution.peer === 'A') this.#tell(event)
    else this.#hear(event)
  }

  #close(closer: string, parent: Place, how: number): void {
    if (closer === 'A') return
    const fresh = [...this.state.contributions.values()].filter(({ contribution }) => contribution.parent === parent.cid)
    const works = new Map(fresh.map(({ cid, contribution }) => [contribution.peer, cid]))
    // What was not heard of here yet.
    if (how % 3 === 1) works.set('E', this.#work('E', parent, how))
    const contributions = [...works].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, cid]) => cid)
    const record = this.#record(closer, parent.round + 1, parent.cid, contributions)
    this.#hear({ type: 'record', cid: this.#cid(record), record })
  }

  #record(closer: string, round: number, parent: string, contributions: string[]): RoundRecord {
    return { run: 'run', round, parent, contributions, anchor: 'anchor', closer }
  }

  /** One content has one name. */
  #cid(content: Contribution | RoundRecord): string {
    const text = JSON.stringify(content)
    const cid = this.#cids.get(text) ?? `cid${this.#cids.size}`
    this.#cids.set(text, cid)
    return cid
  }

  #hear(event: RoundGossip): void {
    this.heard.push(event)
    this.#onHearing(event)
    this.#tell(event)
  }

  #tell(event: RoundEvent): void {
    this.#obey(advance(this.state, event, this.now).commands)
  }

  #obey(commands: readonly RoundCommand[]): void {
    for (const command of commands) {
      if (command.type === 'compute') this.#tell({ type: 'recordComputed', cid: command.cid, anchor: 'anchor' })
      else if (command.type === 'fetchAnchor') this.#tell({ type: 'recordComputed', cid: command.cid, anchor: command.anchor })
      else if (command.type === 'fetchContribution' && command.body) this.#tell({ type: 'contributionHeld', cid: command.cid })
      else if (command.type === 'close') {
        const contributions = command.contributions.map(part => part.cid)
        const record = this.#record('A', command.round, command.parent, contributions)
        const cid = this.#cid(record)
        this.#closed.push({ type: 'record', cid, record }, { type: 'recordComputed', cid, anchor: 'anchor' })
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
