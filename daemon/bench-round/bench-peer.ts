// One peer of the benchmark: a real node with the daemon's own gossip, block exchange and arithmetic; only the training and the waiting are left out.
// The first peer in peer-id order closes as soon as it holds everything and knows a second holder of each, as the rules would have it with all alive.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { BlockExchange } from '../../protocols/blocks/index.ts'
import { type Contribution, signContribution, signRecord } from '../../protocols/rounds/index.ts'
import type { RoundRecord } from '../../protocols/rounds/messages.ts'
import { RoundsGossip } from '../../protocols/rounds/service.ts'
import { type BlockStore, floatsOf, openBlockFiles, readSafetensorsFile, storedTensor, writeSafetensorsFile } from '../../storage/index.ts'
import { Arithmetic } from '../arithmetic/arithmetic.ts'
import { DaemonError } from '../errors.ts'
import { loadIdentity } from '../identity.ts'
import { createNode, type ShoalNode } from '../node.ts'
import { Fetcher } from '../run/fetching.ts'
import type { PeerOrder, PeerOutcome } from './messages.ts'
import { deltaTensors, maxAbsError, stagesOf, startTensors } from './workload.ts'

const NETWORK = 'bench'
/** Milliseconds one peer may take to get a body. */
const FETCH_TIMEOUT_MS = 120_000
/** Milliseconds for one call, and for all to be in sight: eight processes that start on two cores need more than a daemon's dial has. */
const MEET_TIMEOUT_MS = 60_000
/** Milliseconds between repetitions of what a peer has said, for gossip that was not yet meshed. */
const REPEAT_MS = 2000
const STRATEGY = { outer: { name: 'averaging' } } as const
/** Tokens that each contribution claims: equal weights. */
const TOKENS = 1000

interface Round {
  round: number
  codec: string
  /** By CID. */
  contributions: Map<string, { contribution: Contribution; held: boolean; holders: Set<string> }>
  record: { cid: string; record: RoundRecord } | undefined
  computing: boolean
  started: { ms: number; sent: number; received: number } | undefined
  finish: (outcome: PeerOutcome) => void
  fail: (error: unknown) => void
  outcome: Promise<PeerOutcome>
  over: AbortController
  /** What this peer has said, to be said again. */
  said: (() => Promise<void>)[]
}

/** A peer between its orders. */
export class BenchPeer {
  readonly #order: Extract<PeerOrder, { type: 'open' }>
  readonly #privateKey: Awaited<ReturnType<typeof loadIdentity>>
  readonly #node: ShoalNode
  readonly #blocks: BlockStore
  readonly #fetcher: Fetcher
  readonly #arithmetic: Arithmetic
  readonly #gossip: RoundsGossip
  /** The genesis' root; it stands for the run's id, too. */
  readonly #start: string
  readonly #startBlocks: Set<string>
  #round: Round | undefined

  private constructor(parts: {
    order: Extract<PeerOrder, { type: 'open' }>
    privateKey: Awaited<ReturnType<typeof loadIdentity>>
    node: ShoalNode
    blocks: BlockStore
    exchange: BlockExchange
    arithmetic: Arithmetic
    start: { anchor: string; blocks: string[] }
  }) {
    this.#order = parts.order
    this.#privateKey = parts.privateKey
    this.#node = parts.node
    this.#blocks = parts.blocks
    this.#fetcher = new Fetcher(parts.exchange, parts.blocks)
    this.#arithmetic = parts.arithmetic
    this.#start = parts.start.anchor
    this.#startBlocks = new Set(parts.start.blocks)
    this.#gossip = new RoundsGossip({ node: parts.node }, { network: NETWORK, run: this.#start })
    this.#gossip.start({
      // All is passed on: it is said again for who missed it.
      onContribution: (cid, bytes, contribution) => {
        this.#heardContribution(cid, bytes, contribution)
        return true
      },
      onRecord: (cid, _bytes, record) => {
        this.#heardRecord(cid, record)
        return true
      },
      onHolding: (peer, cids) => {
        this.#heardHolding(peer, cids)
        return true
      }
    })
  }

  /** Opens a home of its own and listens on loopback. */
  static async open(order: Extract<PeerOrder, { type: 'open' }>): Promise<BenchPeer> {
    const { home, values } = order
    const blocks = await openBlockFiles(home)
    const privateKey = await loadIdentity(home)
    const node = await createNode({
      privateKey,
      network: NETWORK,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      profile: 'test',
      dialTimeoutMs: MEET_TIMEOUT_MS
    })
    const exchange = new BlockExchange({ node, store: blocks }, { network: NETWORK })
    await exchange.start()
    const arithmetic = new Arithmetic({ home })
    const start = await arithmetic.safetensorsToAnchor({ tensors: startTensors(values), stages: stagesOf(values), strategy: STRATEGY })
    return new BenchPeer({ order, privateKey, node, blocks, exchange, arithmetic, start })
  }

  get peer(): string {
    return this.#node.peer
  }

  get address(): string {
    return this.#node.addresses()[0] ?? ''
  }

  /** Connects with all others and waits until they are all in sight. */
  async meet(addresses: string[]): Promise<void> {
    for (const address of addresses)
      if (address !== this.address) await this.#node.connect(address, { signal: AbortSignal.timeout(MEET_TIMEOUT_MS) })
    for (let waited = 0; this.#node.peers().length < this.#order.peers - 1; waited += 50) {
      if (waited > MEET_TIMEOUT_MS)
        throw new DaemonError('bench_failed', `only ${this.#node.peers().length} of ${this.#order.peers - 1} peers are in sight`)
      await delay(50)
    }
    // Gossip meshes at its heartbeat, each second.
    await delay(1500)
  }

  /** Forgets the last round and writes what a trainer would leave. */
  async prepare(round: number, codec: string): Promise<void> {
    this.#round?.over.abort(new DaemonError('bench_failed', 'the round is over'))
    const keep = this.#startBlocks
    for await (const { cid } of this.#blocks.list()) if (!keep.has(cid)) await this.#blocks.delete(cid)
    const { values, index } = this.#order
    const delta = deltaTensors(values, index, round).map(tensor => storedTensor(tensor.name, tensor.shape, tensor.values))
    await writeSafetensorsFile(this.#path('delta.safetensors'), delta)
    let finish!: Round['finish']
    let fail!: Round['fail']
    const outcome = new Promise<PeerOutcome>((resolve, reject) => {
      finish = resolve
      fail = reject
    })
    outcome.catch(() => {})
    const over = new AbortController()
    const contributions = new Map()
    this.#round = {
      round,
      codec,
      contributions,
      record: undefined,
      computing: false,
      started: undefined,
      finish,
      fail,
      outcome,
      over,
      said: []
    }
  }

  /** Takes part in the round that was prepared. */
  async go(): Promise<PeerOutcome> {
    const state = this.#prepared()
    const { sent, received } = this.#node.traffic()
    state.started = { ms: monotonicMs(), sent, received }
    // Until the next round is prepared: others may still miss something when this peer has finished.
    const repeating = setInterval(() => {
      for (const say of state.said) void say().catch(() => {})
    }, REPEAT_MS)
    state.over.signal.addEventListener('abort', () => clearInterval(repeating), { once: true })
    await this.#contribute(state)
    return await state.outcome
  }

  /** How far the last round's anchor is from the exact mean. */
  async measure(round: number): Promise<number> {
    const state = this.#prepared()
    const { anchor } = await state.outcome
    const file = this.#path('anchor.safetensors')
    await this.#arithmetic.anchorToSafetensors({ anchor, file })
    const { tensors } = await readSafetensorsFile(file)
    const named = tensors.map(tensor => ({ name: tensor.name, shape: [...tensor.shape], values: floatsOf(tensor) }))
    return maxAbsError(named, this.#order.values, this.#order.peers, round)
  }

  async #contribute(state: Round): Promise<void> {
    const { round, codec } = state
    const { body, norm } = await this.#arithmetic.encodeContribution({
      deltaFile: this.#path('delta.safetensors'),
      residualFile: null,
      nextResidualFile: this.#path('residual.safetensors'),
      codec,
      stages: stagesOf(this.#order.values)
    })
    const { peer } = this.#node
    const contribution = { run: this.#start, round, parent: this.#start, peer, tokens: TOKENS, steps: 1, loss: 1, codec, norm, body }
    const { cid, bytes } = await signContribution(contribution, this.#privateKey)
    await this.#blocks.put(cid, bytes, { durable: true })
    const entry = this.#entry(state, cid, contribution)
    entry.held = true
    await this.#say(state, () => this.#gossip.publishContribution(bytes))
    this.#advance(state)
  }

  #heardContribution(cid: string, bytes: Uint8Array, contribution: Contribution): void {
    const state = this.#round
    if (state === undefined || contribution.round !== state.round || contribution.codec !== state.codec) return
    if (state.contributions.has(cid)) return
    this.#entry(state, cid, contribution)
    this.#hold(state, cid, bytes, contribution).catch(state.fail)
  }

  async #hold(state: Round, cid: string, bytes: Uint8Array, contribution: Contribution): Promise<void> {
    const { signal } = state.over
    await this.#blocks.put(cid, bytes)
    const entry = this.#entry(state, cid, contribution)
    await this.#fetcher.body(contribution.body, { from: () => [...entry.holders], signal, timeoutMs: FETCH_TIMEOUT_MS })
    const { body, codec, norm } = contribution
    const refusal = await this.#arithmetic.checkContribution({ body, codec, norm, parentAnchor: this.#start })
    if (refusal !== null) throw new DaemonError('bench_failed', `a contribution was refused: ${refusal}`)
    entry.held = true
    await this.#say(state, () => this.#gossip.publishHolding([cid]))
    this.#advance(state)
  }

  #heardHolding(peer: string, cids: readonly string[]): void {
    const state = this.#round
    if (state === undefined) return
    for (const cid of cids) state.contributions.get(cid)?.holders.add(peer)
    this.#advance(state)
  }

  #heardRecord(cid: string, record: RoundRecord): void {
    const state = this.#round
    if (state === undefined || record.round !== state.round) return
    state.record ??= { cid, record }
    this.#advance(state)
  }

  /** Closes, or computes what another closed, once all of it is here. */
  #advance(state: Round): void {
    if (state !== this.#round || state.computing) return
    const all = [...state.contributions.values()]
    if (all.length < this.#order.peers || all.some(({ held }) => !held)) return
    const closer = all.map(({ contribution }) => contribution.peer).sort()[0]
    if (closer === this.#node.peer) {
      // Two in all: the author and one more.
      const seconded = all.every(
        ({ contribution, holders }) => contribution.peer !== this.#node.peer || [...holders].some(peer => peer !== contribution.peer)
      )
      if (!seconded) return
    } else if (state.record === undefined) return
    state.computing = true
    this.#compute(state, closer === this.#node.peer).catch(state.fail)
  }

  async #compute(state: Round, closing: boolean): Promise<void> {
    const { peer } = this.#node
    const parts = [...state.contributions].sort(([, a], [, b]) => (a.contribution.peer < b.contribution.peer ? -1 : 1))
    const contributions = parts.map(([, { contribution }]) => ({
      body: contribution.body,
      codec: contribution.codec,
      author: contribution.peer,
      tokens: TOKENS,
      age: 0,
      norm: contribution.norm
    }))
    const { anchor } = await this.#arithmetic.nextAnchor({ parentAnchor: this.#start, contributions, strategy: STRATEGY })
    if (closing) {
      const record = {
        run: this.#start,
        round: state.round,
        parent: this.#start,
        contributions: parts.map(([cid]) => cid),
        anchor,
        closer: peer
      }
      const { cid, bytes } = await signRecord(record, this.#privateKey)
      await this.#blocks.put(cid, bytes, { durable: true })
      await this.#say(state, () => this.#gossip.publishRecord(bytes))
    } else if (anchor !== state.record!.record.anchor) {
      throw new DaemonError('bench_failed', `computed ${anchor}, the record says ${state.record!.record.anchor}`)
    }
    const finishedMs = monotonicMs()
    const { sent, received } = this.#node.traffic()
    const started = state.started ?? { ms: finishedMs, sent, received }
    state.finish({ startedMs: started.ms, finishedMs, anchor, bytesSent: sent - started.sent, bytesReceived: received - started.received })
  }

  async #say(state: Round, say: () => Promise<void>): Promise<void> {
    state.said.push(say)
    await say()
  }

  #entry(state: Round, cid: string, contribution: Contribution) {
    const known = state.contributions.get(cid)
    if (known !== undefined) return known
    const entry = { contribution, held: false, holders: new Set([contribution.peer]) }
    state.contributions.set(cid, entry)
    return entry
  }

  #prepared(): Round {
    if (this.#round === undefined) throw new DaemonError('bench_failed', 'no round was prepared')
    return this.#round
  }

  #path(name: string): string {
    return join(this.#order.home, name)
  }
}

/** Milliseconds on a clock that all processes of a machine share. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}
