// The attack table: held-out loss of a small model that honest nodes and liars trained together, by each attack and each rule of combining, beside what the honest
// reach with nobody lying and with nobody in the liars' place.
import { createCodec } from '../compression/index.ts'
import { resolveTokenizer } from '../data/resolve-tokenizer.ts'
import { tokenizeDocuments } from '../data/tokenizer.ts'
import { type EngineName, openEngine } from '../engines/engine.ts'
import { TrainingError } from '../errors.ts'
import { evaluate } from '../evaluation.ts'
import { initialParameters } from '../models/initial-parameters.ts'
import { createModel, elementCount, type NamedTensor } from '../models/model.ts'
import type { AggregationSpec, OuterStrategySpec, ScreeningSpec } from '../outer/index.ts'
import { type Attack, createAttack } from './attacks.ts'
import { meet } from './meeting.ts'

/** Rules that can be compared, by name. */
export const AGGREGATIONS: Record<string, Pick<OuterStrategySpec, 'aggregation' | 'screening'>> = {
  mean: { aggregation: { name: 'mean' } },
  cappedMean: { aggregation: { name: 'mean' }, screening: { normFactor: 4 } },
  trimmedMean: capped({ name: 'trimmedMean', trim: 0.2 }),
  median: capped({ name: 'median' }),
  centeredClip: capped({ name: 'centeredClip', tau: { times: 0.5 }, iterations: 3 })
}

function capped(aggregation: AggregationSpec, screening: ScreeningSpec = { normFactor: 4 }) {
  return { aggregation, screening }
}

export interface BenchAttacksOptions {
  nodes: number
  /** Each with the part of the nodes that lie: to the nearest number of them that is not half, and at least one. */
  attacks: { name: string; fraction: number }[]
  /** Names of {@link AGGREGATIONS}. */
  aggregations: string[]
  rounds: number
  innerSteps: number
  seeds: number[]
  outer: OuterStrategySpec['outer']
  engine: EngineName | 'auto'
  threads: number
  signal?: AbortSignal | undefined
  onProgress?: ((text: string) => void) | undefined
}

/** Texts that the model learns from and is measured on. */
export interface BenchTexts {
  /** Documents of each node. */
  shards: string[][]
  heldOut: string[]
}

/** One line of the table: an attack by so many, or none. */
export interface AttackRow {
  /** Null: nobody lies. */
  attack: string | null
  attackers: number
  /** The same for the mean of the others, with nobody in the liars' place. */
  withoutThem: number | null
  /** By rule: nats a byte of each seed, null where training broke down; and how far they are above the clean ones, as a part of these, mean over the seeds. */
  rules: Record<string, { natsPerByte: (number | null)[]; aboveClean: number | null }>
}

export interface BenchAttacksReport {
  nodes: number
  parameters: number
  /** Nats a byte of each seed: everybody honest, by the mean. */
  clean: number[]
  rows: AttackRow[]
}

/**
 * 30,000 parameters on bytes: a step takes some 2 ms, and in two hundred it comes from 5.5 nats a byte to 2.6. With tied embeddings it would still
 * guess by frequency then, which liars cannot make much worse.
 */
const MODEL = { family: 'gpt2', layers: 1, width: 32, heads: 2, context: 32, biases: false, tiedEmbeddings: false } as const
const BATCH = 4
const LEARNING_RATE = 5e-3
const WARMUP_STEPS = 10
const OPTIMIZER = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: 1 }
const CODEC = 'int8'
/** Windows that a model is measured on, the same ones for all. */
const WINDOWS = 768
const EVALUATION_BATCH = 32

/** @throws TrainingError bad_attack, and what the engine does */
export async function benchAttacks(options: BenchAttacksOptions, texts: BenchTexts): Promise<BenchAttacksReport> {
  const { nodes, seeds, innerSteps, rounds, threads, signal } = options
  const trials = options.attacks.map(({ name, fraction }) => ({ attack: createAttack(name), attackers: liarsAmong(nodes, fraction) }))
  for (const name of options.aggregations)
    if (!Object.hasOwn(AGGREGATIONS, name))
      throw new TrainingError('bad_attack', `Cannot use the aggregation ${JSON.stringify(name)}`, {
        hint: `one of ${Object.keys(AGGREGATIONS).join(', ')}`
      })
  const tokenizer = await resolveTokenizer({ kind: 'bytes', vocabulary: 257 }, () => [])
  const model = createModel({ ...MODEL, vocabulary: tokenizer.vocabulary })
  const { context } = model.config
  const shards = texts.shards.map(documents => tokenizeDocuments(tokenizer, documents))
  const engine = await openEngine(options.engine, { threads })
  try {
    const compiled = await engine.compileTraining(model, { batch: BATCH, context, accumulation: 1, optimizer: OPTIMIZER })
    const forward = await engine.compileForward(model, { batch: EVALUATION_BATCH, context })
    const measure = async (parameters: NamedTensor[]): Promise<number> => {
      await forward.load(parameters)
      const shape = { batch: EVALUATION_BATCH, context, maxWindows: WINDOWS }
      return (await evaluate({ forward, tokenizer, texts: texts.heldOut, ...shape, ...(signal === undefined ? {} : { signal }) }))
        .natsPerByte
    }
    const totalSteps = rounds * innerSteps
    const schedule = { kind: 'cosine', learningRate: LEARNING_RATE, warmupSteps: WARMUP_STEPS, totalSteps, finalFactor: 0.1 } as const
    const lossOf = async (seed: number, rule: string, attackers: number, attack: Attack | null): Promise<number | null> => {
      const strategy: OuterStrategySpec = { outer: options.outer, ...AGGREGATIONS[rule] }
      const components = { compiled, parameters: initialParameters(model, seed), shards }
      const sizes = { batch: BATCH, context, vocabulary: tokenizer.vocabulary, rounds, innerSteps }
      try {
        const met = await meet(components, { ...sizes, strategy, codec: createCodec(CODEC), schedule, seed, attackers, attack, signal })
        const loss = await measure(met)
        return Number.isFinite(loss) ? loss : null
      } catch (error) {
        if (error instanceof TrainingError && error.code === 'non_finite') return null
        throw error
      }
    }
    const cells = cellsOf(options.aggregations, trials)
    for (const seed of seeds)
      for (const cell of cells) {
        const loss = await lossOf(seed, cell.rule, cell.attackers, cell.attack)
        if (loss === null && cell.attackers === 0)
          throw new TrainingError('non_finite', `Cannot compare: training by ${cell.rule} broke down with nobody lying`)
        cell.losses.push(loss)
        const who = cell.attack?.name ?? (cell.attackers === 0 ? 'nobody lies' : 'they stay away')
        options.onProgress?.(`seed ${seed}: ${cell.attackers} ${who}, ${cell.rule}: ${loss?.toFixed(3) ?? 'broke down'}`)
      }
    return {
      nodes,
      parameters: model.parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      clean: find(cells, 0, null, 'mean') as number[],
      rows: rowsOf(cells, options.aggregations, trials)
    }
  } finally {
    await engine.dispose()
  }
}

/** One thing to train: who lies and how, and by which rule it is combined. */
interface Cell {
  rule: string
  attackers: number
  /** Null: they stay away, where there are any. */
  attack: Attack | null
  /** By seed. */
  losses: (number | null)[]
}

/** An attack by so many. */
interface Trial {
  attack: Attack
  attackers: number
}

function liarsAmong(nodes: number, fraction: number): number {
  return Math.max(1, Math.min(Math.round(fraction * nodes), Math.ceil(nodes / 2) - 1))
}

function cellsOf(rules: readonly string[], trials: readonly Trial[]): Cell[] {
  const cell = (rule: string, attackers: number, attack: Attack | null): Cell => ({ rule, attackers, attack, losses: [] })
  return [
    ...[...new Set(['mean', ...rules])].map(rule => cell(rule, 0, null)),
    ...[...new Set(trials.map(({ attackers }) => attackers))].map(attackers => cell('mean', attackers, null)),
    ...trials.flatMap(({ attack, attackers }) => rules.map(rule => cell(rule, attackers, attack)))
  ]
}

function rowsOf(cells: readonly Cell[], rules: readonly string[], trials: readonly Trial[]): AttackRow[] {
  const clean = find(cells, 0, null, 'mean')
  const row = (attackers: number, attack: Attack | null): AttackRow => ({
    attack: attack?.name ?? null,
    attackers,
    withoutThem: aboveClean(find(cells, attackers, null, 'mean'), clean),
    rules: Object.fromEntries(
      rules.map(rule => {
        const natsPerByte = find(cells, attackers, attack, rule)
        return [rule, { natsPerByte, aboveClean: aboveClean(natsPerByte, clean) }]
      })
    )
  })
  return [row(0, null), ...trials.map(({ attack, attackers }) => row(attackers, attack))]
}

function find(cells: readonly Cell[], attackers: number, attack: Attack | null, rule: string): (number | null)[] {
  return cells.find(cell => cell.attackers === attackers && cell.attack === attack && cell.rule === rule)!.losses
}

/** Mean over the seeds of loss / clean loss - 1; null where one broke down. */
function aboveClean(losses: readonly (number | null)[], clean: readonly (number | null)[]): number | null {
  const parts = losses.map((loss, i) => (loss === null ? null : loss / clean[i]! - 1))
  return parts.includes(null) ? null : parts.reduce((sum: number, part) => sum + part!, 0) / parts.length
}
