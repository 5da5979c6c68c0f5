// DiLoCo among many nodes in one process, some of whom lie: one compiled training serves all of them in turn, and what they send goes through the run's own
// codec, bound and outer strategy.
import { setImmediate as othersTurn } from 'node:timers/promises'
import { type Codec, encodeDelta } from '../compression/index.ts'
import { type Batches, createBatches } from '../data/batches.ts'
import { createRandom } from '../data/random.ts'
import type { CompiledTraining, TokenBatch } from '../engines/engine.ts'
import { TrainingError } from '../errors.ts'
import type { NamedTensor } from '../models/model.ts'
import { type LearningRateSchedule, learningRateAt } from '../optimizers/schedule.ts'
import { createOuterStrategy, deltaNorm, NORM_RATIO_MAX, type OuterStrategySpec } from '../outer/index.ts'
import type { Attack } from './attacks.ts'

/** What all meetings of one comparison have alike. */
export interface MeetingComponents {
  compiled: CompiledTraining
  /** Where training begins. */
  parameters: NamedTensor[]
  /** Each node's own text, as tokens. */
  shards: readonly Int32Array[]
}

export interface MeetingOptions {
  strategy: OuterStrategySpec
  codec: Codec
  /** As `compiled` was compiled for. */
  batch: number
  context: number
  vocabulary: number
  schedule: LearningRateSchedule
  rounds: number
  innerSteps: number
  seed: number
  /** The last nodes are the ones that lie; without an attack they stay away. */
  attackers: number
  attack: Attack | null
  signal?: AbortSignal | undefined
}

/** A node between its rounds. */
interface Member {
  data: Batches
  moments: NamedTensor[] | undefined
  steps: number
  residual: Float32Array | null
}

/** The parameters after the last round. @throws what the engine does; TrainingError non_finite where nobody can train from the anchor any more */
export async function meet(components: MeetingComponents, options: MeetingOptions): Promise<NamedTensor[]> {
  const { shards, parameters } = components
  const { batch, context, seed, attack, attackers, rounds } = options
  const members = shards.map((tokens, i): Member => {
    const data = createBatches({ tokens, batch, context, seed: seed * shards.length + i })
    return { data, moments: undefined, steps: 0, residual: null }
  })
  const honest = members.length - attackers
  const strategy = createOuterStrategy(options.strategy)
  let anchor = flat(parameters)
  let state: Record<string, Float32Array> = Object.fromEntries(strategy.stateNames.map(name => [name, new Float32Array(anchor.length)]))
  const random = createRandom(`attack/${seed}`)
  for (let round = 0; round < rounds; round++) {
    await othersTurn()
    options.signal?.throwIfAborted()
    const good: Float32Array[] = []
    for (const member of members.slice(0, honest)) good.push(await contribute(member, anchor, components, options, false))
    const sent = [...good]
    const normMax = NORM_RATIO_MAX * normOf(anchor)
    for (const liar of attack === null ? [] : members.slice(honest)) {
      const own =
        attack!.trainsOn === null
          ? new Float32Array(anchor.length)
          : await contribute(liar, anchor, components, options, attack!.trainsOn === 'flippedTargets')
      const lie = attack!.send({ good, own, nodes: members.length, attackers, normMax, random })
      sent.push(throughCodec(lie, null, parameters, options.codec).sent)
    }
    const counted = sent.filter(delta => normOf(delta) <= normMax)
    const contributed = counted.map((delta, i) => ({ author: `${i}`, tokens: 1, age: 0, norm: normOf(delta) }))
    const step = strategy.begin(contributed)
    while (step.looksLeft > 0) {
      step.look({ count: anchor.length, state, deltas: counted })
      step.looked()
    }
    ;({ anchor, state } = step.step(anchor, state, counted))
  }
  return unflat(anchor, parameters)
}

/** A node's inner steps from the anchor, and what the others decode of them. */
async function contribute(
  member: Member,
  anchor: Float32Array,
  { compiled, parameters }: MeetingComponents,
  { innerSteps, schedule, codec, vocabulary }: MeetingOptions,
  flipped: boolean
): Promise<Float32Array> {
  await compiled.load(unflat(anchor, parameters), member.moments, member.steps)
  for (let i = 0; i < innerSteps; i++) {
    const batch = member.data.next()
    await compiled.step([flipped ? withFlippedTargets(batch, vocabulary) : batch], learningRateAt(schedule, member.steps))
    member.steps++
  }
  member.moments = await compiled.moments()
  const local = flat(await compiled.parameters())
  const { sent, residual } = throughCodec(
    anchor.map((value, i) => value - local[i]!),
    member.residual,
    parameters,
    codec
  )
  member.residual = residual
  return sent
}

/** Tensor by tensor, as contributions are written. */
function throughCodec(
  delta: Float32Array,
  residual: Float32Array | null,
  parameters: readonly NamedTensor[],
  codec: Codec
): { sent: Float32Array; residual: Float32Array } {
  const sent = new Float32Array(delta.length)
  const left = new Float32Array(delta.length)
  let at = 0
  for (const { name, shape, values } of parameters) {
    const end = at + values.length
    const encoded = encodeDelta(codec, { name, shape, values: delta.subarray(at, end) }, residual?.subarray(at, end) ?? null)
    sent.set(encoded.sent, at)
    if (encoded.residual !== null) left.set(encoded.residual, at)
    at = end
  }
  return { sent, residual: left }
}

/** The label-flip attack: every token becomes the one as far from the vocabulary's other end. */
function withFlippedTargets({ inputs, targets }: TokenBatch, vocabulary: number): TokenBatch {
  return { inputs, targets: targets.map(token => vocabulary - 1 - token) }
}

function normOf(values: Float32Array): number {
  return deltaNorm([{ values }])
}

function flat(tensors: readonly NamedTensor[]): Float32Array {
  const values = new Float32Array(tensors.reduce((sum, tensor) => sum + tensor.values.length, 0))
  let at = 0
  for (const tensor of tensors) {
    values.set(tensor.values, at)
    at += tensor.values.length
  }
  return values
}

function unflat(values: Float32Array, like: readonly NamedTensor[]): NamedTensor[] {
  let at = 0
  return like.map(({ name, shape, values: { length } }) => {
    const tensor = { name, shape: [...shape], values: values.slice(at, at + length) }
    at += length
    if (!tensor.values.every(Number.isFinite)) throw new TrainingError('non_finite', `Cannot go on: ${name} is not finite any more`)
    return tensor
  })
}
