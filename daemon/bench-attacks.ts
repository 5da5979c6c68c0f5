// Deals the built-in text to the nodes of the attack table.
import { type BenchAttacksOptions, type BenchAttacksReport, benchAttacks as benchTexts } from '../training/attacks/bench.ts'
import { builtinEras } from './corpora.ts'

export interface BenchAttacksFlags extends BenchAttacksOptions {
  /** Whether each node has text of its own time, else some of all. */
  unlike: boolean
}

/** @throws TrainingError bad_attack, and what the engine does */
export async function benchAttacks({ unlike, ...options }: BenchAttacksFlags): Promise<BenchAttacksReport> {
  const eras = builtinEras()
  const documents = eras.flatMap(({ training }) => training)
  const { nodes } = options
  const shards = Array.from({ length: nodes }, (_, node) =>
    documents.filter((_, i) => (unlike ? Math.floor((i * nodes) / documents.length) : i % nodes) === node)
  )
  return benchTexts(options, { shards, heldOut: eras.flatMap(({ heldOut }) => heldOut) })
}
