// Rounds wired to gossip, one object a run: what is said comes out checked (size, signature, run); what it means is decided by the rules.
import { ProtocolError } from '../errors.ts'
import type { GossipNode, GossipVerdict } from '../frame-stream.ts'
import { MAX_HOLDING_PER_MESSAGE, roundsTopic } from './constants.ts'
import { decodeRoundsMessage, encodeRoundsMessage } from './gossip-messages.ts'
import { type Contribution, openContribution, openRecord, type RoundRecord } from './messages.ts'

export interface RoundsGossipComponents {
  node: GossipNode
}

export interface RoundsGossipOptions {
  network: string
  /** CID of the signed manifest. */
  run: string
}

/**
 * `from` is the peer that sent it, who need not be the one that signed the block. False for what is no news: it is not passed on, and `from` pays nothing for it,
 * since anybody may have kept it and say it again.
 */
export interface RoundsGossipListener {
  onContribution(cid: string, bytes: Uint8Array, contribution: Contribution, from: string): boolean
  onRecord(cid: string, bytes: Uint8Array, record: RoundRecord, from: string): boolean
  onHolding(peer: string, contributions: readonly string[]): boolean
}

export class RoundsGossip {
  readonly #node: GossipNode
  readonly #topic: string
  readonly #run: string

  constructor({ node }: RoundsGossipComponents, { network, run }: RoundsGossipOptions) {
    this.#node = node
    this.#run = run
    this.#topic = roundsTopic(network, run)
  }

  start(listener: RoundsGossipListener): void {
    this.#node.subscribe(
      this.#topic,
      async (bytes, from): Promise<GossipVerdict> => ((await this.#isNews(bytes, from, listener)) ? 'accept' : 'ignore')
    )
  }

  stop(): void {
    this.#node.unsubscribe(this.#topic)
  }

  /** @param block the signed contribution, whole */
  async publishContribution(block: Uint8Array): Promise<void> {
    await this.#node.publish(this.#topic, encodeRoundsMessage({ kind: 'contribution', block }))
  }

  /** @param block the signed record, whole */
  async publishRecord(block: Uint8Array): Promise<void> {
    await this.#node.publish(this.#topic, encodeRoundsMessage({ kind: 'record', block }))
  }

  async publishHolding(contributions: readonly string[]): Promise<void> {
    for (let start = 0; start < contributions.length; start += MAX_HOLDING_PER_MESSAGE) {
      const part = contributions.slice(start, start + MAX_HOLDING_PER_MESSAGE)
      await this.#node.publish(this.#topic, encodeRoundsMessage({ kind: 'holding', contributions: part }))
    }
  }

  async #isNews(bytes: Uint8Array, from: string, listener: RoundsGossipListener): Promise<boolean> {
    const message = decodeRoundsMessage(bytes)
    if (message.kind === 'holding') return listener.onHolding(from, message.contributions)
    if (message.kind === 'contribution') {
      const { cid, contribution } = await openContribution(message.block)
      if (contribution.run !== this.#run) throw this.#otherRun(contribution.run)
      // A copy: the block is a view of the whole gossip message.
      return listener.onContribution(cid, message.block.slice(), contribution, from)
    }
    const { cid, record } = await openRecord(message.block)
    if (record.run !== this.#run) throw this.#otherRun(record.run)
    return listener.onRecord(cid, message.block.slice(), record, from)
  }

  #otherRun(run: string): ProtocolError {
    return new ProtocolError('wrong_run', `cannot take what belongs to run ${run}: this is the topic of ${this.#run}`)
  }
}
