// Opinions wired to gossip, one object a run: what is said comes out checked; what it means is decided by the rules.
import { ProtocolError } from '../errors.ts'
import type { GossipNode, GossipVerdict } from '../frame-stream.ts'
import { trustTopic } from './constants.ts'
import { type Opinion, openOpinion } from './messages.ts'

export interface OpinionsComponents {
  node: GossipNode
}

export interface OpinionsOptions {
  network: string
  /** CID of the signed manifest. */
  run: string
}

export class OpinionsGossip {
  readonly #node: GossipNode
  readonly #run: string
  readonly #topic: string

  constructor({ node }: OpinionsComponents, { network, run }: OpinionsOptions) {
    this.#node = node
    this.#run = run
    this.#topic = trustTopic(network, run)
  }

  /**
   * @param hear false for an opinion that counts for nothing here: it is not passed on either, so that a crowd of new identities reaches nobody but its neighbours
   */
  start(hear: (opinion: Opinion) => boolean): void {
    this.#node.subscribe(this.#topic, async (bytes, from): Promise<GossipVerdict> => {
      const opinion = await openOpinion(bytes)
      if (opinion.run !== this.#run) throw new ProtocolError('wrong_run', `cannot take an opinion of another run: ${opinion.run}`)
      if (opinion.peer !== from) throw new ProtocolError('bad_message', `cannot take an opinion of ${opinion.peer} that ${from} says`)
      return hear(opinion) ? 'accept' : 'ignore'
    })
  }

  stop(): void {
    this.#node.unsubscribe(this.#topic)
  }

  /** @param block the signed opinion, whole */
  async publish(block: Uint8Array): Promise<void> {
    await this.#node.publish(this.#topic, block)
  }
}
