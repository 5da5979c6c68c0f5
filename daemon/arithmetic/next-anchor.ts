// The next anchor from the last one and a record's contributions: the pure function that every node computes alike.
import { type Codec, createCodec } from '../../training/compression/index.ts'
import { createOuterStrategy, type OuterRound, type OuterStrategy } from '../../training/outer/index.ts'
import { DaemonError } from '../errors.ts'
import { type AnchorStage, type AnchorTensor, anchorCodec, anchorLayout, bodyFits, stateTensorName } from './anchor-layout.ts'
import { type BlockSource, type OpenStage, openBody, TensorReader } from './body-reader.ts'
import { type BlockSink, BodyWriter } from './body-writer.ts'
import type { NextAnchorRequest, WrittenAnchor } from './calls.ts'
import { READ_AHEAD_MAX } from './constants.ts'
import { sliceLengths } from './slices.ts'

/**
 * Reads every contribution once, and once more for each look that the aggregation takes before it can combine.
 *
 * @throws DaemonError bad_anchor, bad_contribution (it does not fit; it should have been checked); TrainingError non_finite, bad_codec_bytes,
 * bad_weight; ProtocolError block_missing, bad_message; whatever the blocks throw
 */
export async function nextAnchor(
  { blocks }: { blocks: BlockSource & BlockSink },
  request: NextAnchorRequest,
  signal?: AbortSignal
): Promise<WrittenAnchor> {
  const strategy = createOuterStrategy(request.strategy)
  const codecs = request.contributions.map(({ codec }) => createCodec(codec))
  const [parent, ...bodies] = await Promise.all(
    [request.parentAnchor, ...request.contributions.map(({ body }) => body)].map(root => openBody(blocks, root))
  )
  const stages = anchorLayout(parent!)
  for (const [i, { body }] of request.contributions.entries())
    if (!bodyFits(stages, bodies[i]!, codecs[i]!))
      throw new DaemonError(
        'bad_contribution',
        `cannot count the body ${body}: its tensors are not those of the anchor ${request.parentAnchor}`
      )
  for (const { tensors } of stages) for (const tensor of tensors) checkState(tensor, strategy)

  const round = strategy.begin(request.contributions)
  const inputs = { blocks, stages, bodies, codecs, stateNames: strategy.stateNames }
  while (round.looksLeft > 0) {
    for (const tensor of tensorsAhead(inputs)) await lookAt(tensor, round, signal)
    round.looked()
  }
  const writer = new BodyWriter(blocks)
  const tensors = tensorsAhead(inputs)
  try {
    for (const stage of stages) {
      const trainable = []
      const state = []
      for (const _ of stage.tensors) {
        const [first, ...rest] = await stepTensor(tensors.next().value!, round, writer, signal)
        trainable.push(first!)
        state.push(...rest)
      }
      await writer.stage(stage.name, [...trainable, ...state])
    }
    const { root, ...written } = await writer.finish()
    return { anchor: root, ...written }
  } catch (error) {
    await writer.abandon()
    throw error
  }
}

/** What all tensors are read from. */
interface Inputs {
  blocks: BlockSource
  stages: readonly AnchorStage[]
  bodies: readonly OpenStage[][]
  codecs: readonly Codec[]
  stateNames: readonly string[]
}

/** Everything one tensor is read from, slice by slice; the first chunks are asked for at once. */
class TensorInputs {
  readonly tensor: AnchorTensor
  readonly stateNames: readonly string[]
  readonly #anchor: TensorReader
  readonly #state: [name: string, reader: TensorReader][]
  /** By codec and chunks: anybody may send what another sent, and the same bytes are read and decoded once. */
  readonly #sources = new Map<string, { codec: Codec; reader: TensorReader }>()
  /** Which of them is each contribution's, in the record's order. */
  readonly #contributions: string[]

  constructor({ blocks, stages, bodies, codecs, stateNames }: Inputs, s: number, t: number) {
    this.tensor = stages[s]!.tensors[t]!
    this.stateNames = stateNames
    this.#anchor = new TensorReader(blocks, this.tensor.trainable)
    this.#state = stateNames.map(name => [name, new TensorReader(blocks, this.tensor.state[name]!)])
    const readsAhead = bodies.length <= READ_AHEAD_MAX
    this.#contributions = bodies.map((body, i) => {
      const [codec, tensor] = [codecs[i]!, body[s]!.tensors[t]!]
      const source = `${codec.name} ${tensor.chunks}`
      if (!this.#sources.has(source)) this.#sources.set(source, { codec, reader: new TensorReader(blocks, tensor, { readsAhead }) })
      return source
    })
  }

  /** The anchor's next `count` values. */
  anchor(count: number): Promise<Float32Array> {
    return floatsFrom(this.#anchor, count)
  }

  /** The next `count` values of outer state and contributions. */
  async values(count: number): Promise<{ count: number; state: Record<string, Float32Array>; deltas: Float32Array[] }> {
    const state: Record<string, Float32Array> = {}
    for (const [name, reader] of this.#state) state[name] = await floatsFrom(reader, count)
    const deltas = new Map<string, Float32Array>()
    for (const [source, { codec, reader }] of this.#sources)
      deltas.set(source, codec.decode(await reader.take(codec.maxBytes(count)), [count]))
    return { count, state, deltas: this.#contributions.map(source => deltas.get(source)!) }
  }
}

async function floatsFrom(reader: TensorReader, count: number): Promise<Float32Array> {
  return anchorCodec.decode(await reader.take(anchorCodec.maxBytes(count)), [count])
}

/** Every tensor in the body's order, each opened a tensor ahead, so that its first chunks are here when its turn comes. */
function* tensorsAhead(inputs: Inputs): Generator<TensorInputs, undefined> {
  let ahead: TensorInputs | undefined
  for (const [s, { tensors }] of inputs.stages.entries())
    for (const t of tensors.keys()) {
      const next = new TensorInputs(inputs, s, t)
      if (ahead !== undefined) yield ahead
      ahead = next
    }
  if (ahead !== undefined) yield ahead
}

async function lookAt(inputs: TensorInputs, round: OuterRound, signal?: AbortSignal): Promise<void> {
  for (const count of sliceLengths(inputs.tensor.count)) {
    signal?.throwIfAborted()
    round.look(await inputs.values(count))
  }
}

async function stepTensor(inputs: TensorInputs, round: OuterRound, writer: BodyWriter, signal?: AbortSignal) {
  const { trainable, count: total } = inputs.tensor
  const { name, shape, size } = trainable
  const next = writer.tensor(name, shape, size)
  const nextState = inputs.stateNames.map(stateName => ({
    stateName,
    writer: writer.tensor(stateTensorName(stateName, name), shape, size)
  }))
  for (const count of sliceLengths(total)) {
    signal?.throwIfAborted()
    const anchor = await inputs.anchor(count)
    const { state: old, deltas } = await inputs.values(count)
    const step = round.step(anchor, old, deltas)
    await next.write(anchorCodec.encode(step.anchor, [count]))
    for (const { stateName, writer } of nextState) await writer.write(anchorCodec.encode(step.state[stateName]!, [count]))
  }
  return [next.finish(), ...nextState.map(({ writer }) => writer.finish())]
}

function checkState({ trainable, state }: AnchorTensor, strategy: OuterStrategy): void {
  const names = Object.keys(state)
  if (names.length !== strategy.stateNames.length || strategy.stateNames.some(name => !Object.hasOwn(state, name)))
    throw new DaemonError('bad_anchor', `cannot step ${trainable.name} by ${strategy.name}: the anchor keeps the state [${names}]`)
}
