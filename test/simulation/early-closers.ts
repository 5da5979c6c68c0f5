// Strangers who close every round at once: two fresh identities a round give something, and one of them signs a record of just that, before anybody else can have given.
import type { Contribution, RoundRecord } from '../../protocols/rounds/index.ts'
import { anchorOf, contributionCid, hashOf, recordCid } from './names.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

export interface EarlyClosersOptions {
  /** Records on top of each other that they show at once. Default 1. */
  depth?: number
  /** Members who give their name and their work to each such record. */
  colluders?: number[]
}

/** They speak through an observer: its disk serves what they show. Everybody hears them sooner than anybody's work. */
export function closeEarly(world: World, mouth: SimNode, { depth = 1, colluders = [] }: EarlyClosersOptions = {}): void {
  const shownOn = new Set<string>()
  world.onPhase = (node, phase) => {
    if (phase !== 'adopting') return
    const { head, round, anchor } = node.view()
    if (shownOn.has(head)) return
    shownOn.add(head)
    mouth.later(30, () => show(world, mouth, { head, round: round + 1, anchor }, colluders, depth))
  }
}

function show(world: World, mouth: SimNode, at: { head: string; round: number; anchor: string }, colluders: number[], depth: number): void {
  const { head: parent, round } = at
  const authors = [
    ...['X', 'Y'].map(name => `${name}${hashOf([parent, name])}`),
    ...colluders.map(index => world.nodes[index]!.peer)
  ].sort()
  const parts = authors.map(peer => {
    const contribution: Contribution = {
      run: 'run',
      round,
      parent,
      peer,
      tokens: 100_000,
      steps: 1,
      loss: 2,
      codec: 'f32',
      norm: 1,
      body: `b${peer}`
    }
    const cid = contributionCid(contribution)
    world.madeAt.set(cid, world.time.now)
    mouth.disk.contributions.set(cid, contribution)
    mouth.disk.bodies.set(cid, round)
    const tokens = Math.min(contribution.tokens, world.rules.maxTokensPerRound)
    return { part: { cid, age: 0 as const, peer, tokens }, contribution }
  })
  const list = parts.map(({ part }) => part)
  const closer = authors.find(peer => peer.startsWith('X'))!
  const record: RoundRecord = {
    run: 'run',
    round,
    parent,
    contributions: list.map(({ cid }) => cid),
    anchor: anchorOf(at.anchor, list),
    closer
  }
  const cid = recordCid(record)
  mouth.disk.records.set(cid, { record, ready: true, shown: true })
  mouth.disk.anchors.set(record.anchor, round)
  for (const to of world.up) {
    if (to === mouth) continue
    for (const { part, contribution } of parts) to.receiveContribution(part.cid, contribution)
    for (const peer of authors) if (peer.startsWith('X')) to.tell({ type: 'peerLive', peer, head: parent, round: round - 1, trains: true })
    to.receiveRecord(cid, record)
  }
  if (depth > 1) show(world, mouth, { head: cid, round: round + 1, anchor: record.anchor }, colluders, depth - 1)
}
