// What a mesh is compared with: lone nodes with as many steps, one for each shard and inner rate, and one that has all shards. Pure but for `inTurns`.
import type { RoundRow } from '../../protocols/control/messages.ts'
import { shardOf } from './demo.ts'
import type { ReportHeldOut } from './report.ts'

/** One lone node's task. */
export interface LoneTraining {
  /** Of its folder, and unlike those of all others. */
  name: string
  /** Replaces the manifest's; null: the manifest's own. */
  learningRate: number | null
  /** From 1, in the order of {@link ReportHeldOut}; `all`: the upper line, one node that has the text of all. */
  shard: number | 'all'
  /** Corpora that it joins with, undefined where the run brings its own. Of several, every batch has windows of all: the reader permutes them as one text. */
  data: string[] | undefined
}

/** A lone node's outcome, nats per UTF-8 byte. */
export interface LoneResult extends Pick<LoneTraining, 'learningRate' | 'shard'> {
  heldOut: number
}

/** One training for each shard at each rate. With rates, one on all shards as well, unless there is one shard only, which then is all there is. */
export function loneTrainings(nodes: number, isPrivate: boolean, rates: number[] | null): LoneTraining[] {
  // Two nodes with the same text would be the same lone node, and so would all nodes of a run that brings its own text.
  const shards = isPrivate ? [...new Set(Array.from({ length: nodes }, (_, position) => shardOf(position + 1)))] : [undefined]
  return (rates ?? [null]).flatMap((learningRate, position) => {
    const suffix = learningRate === null ? '' : `-rate-${position + 1}`
    const trainings = shards.map((shard, index): LoneTraining => {
      return { name: `alone-${index + 1}${suffix}`, learningRate, shard: index + 1, data: shard === undefined ? undefined : [shard] }
    })
    if (learningRate !== null && shards.length > 1) {
      trainings.push({ name: `together${suffix}`, learningRate, shard: 'all', data: shards.filter(shard => shard !== undefined) })
    }
    return trainings
  })
}

/** The most tokens that one author's contributions brought into these rounds. */
export function mostTokens(rounds: Iterable<Pick<RoundRow, 'contributors'>>): number {
  const tokens = new Map<string, number>()
  for (const { contributors } of rounds) for (const row of contributors) tokens.set(row.peer, (tokens.get(row.peer) ?? 0) + row.tokens)
  return Math.max(0, ...tokens.values())
}

/** The report's comparison; with rates each shard counts with the best of them. */
export function compared(mesh: number, results: LoneResult[]): ReportHeldOut {
  const rates = [...new Set(results.map(result => result.learningRate))]
    .filter(rate => rate !== null)
    .map(learningRate => {
      const row = results.filter(result => result.learningRate === learningRate)
      const alone = byShard(row).map(lone => lone.heldOut)
      return { learningRate, alone, together: row.find(result => result.shard === 'all')?.heldOut ?? alone[0]! }
    })
  if (rates.length === 0) return { unit: 'nats/byte', mesh, alone: byShard(results).map(lone => lone.heldOut), rates: null }
  const alone = rates[0]!.alone.map((_, shard) => Math.min(...rates.map(row => row.alone[shard]!)))
  return { unit: 'nats/byte', mesh, alone, rates }
}

/** What the rates say of the mesh, in two lines; none without rates. */
export function summaryLines({ mesh, alone, rates }: ReportHeldOut): string[] {
  if (alone === null || rates === null) return []
  const least = Math.min(...alone)
  const shard = alone.indexOf(least)
  const rate = rates.find(row => row.alone[shard] === least)!.learningRate
  const upper = rates.reduce((best, row) => (row.together < best.together ? row : best))
  return [
    `${against(mesh, least)} the best lone node: ${least.toFixed(3)}, shard ${shard + 1} at rate ${rate}`,
    `${against(mesh, upper.together)} one node on all shards: ${upper.together.toFixed(3)} at rate ${upper.learningRate}`
  ]
}

/** Works through the jobs, so many at a time, in their order; after a failure none is begun. */
export async function inTurns<Job>(jobs: Iterable<Job>, atOnce: number, work: (job: Job) => Promise<void>): Promise<void> {
  // One generator for all: a loop that is left by an error closes it, so the others end with what they have in hand.
  const queue = (function* () {
    yield* jobs
  })()
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const job of queue) await work(job)
    })
  )
}

function byShard(results: LoneResult[]): LoneResult[] {
  return results.filter(result => result.shard !== 'all').sort((a, b) => Number(a.shard) - Number(b.shard))
}

function against(mesh: number, other: number): string {
  return `the mesh is ${Math.abs(other - mesh).toFixed(3)} nats a byte ${mesh < other ? 'below' : 'above'}`
}
