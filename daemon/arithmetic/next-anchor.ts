// The next anchor from the last one and a record's contributions: the pure function that every node computes alike.
import { createCodec } from '../../training/compression/index.ts'
import { contributionWeight, createOuterStrategy, type OuterStrategy } from '../../training/outer/index.ts'
import { DaemonError } from '../errors.ts'
import { type AnchorTensor, anchorCodec, anchorLayout, bodyFits, stateTensorName } from './anchor-layout.ts'
import { type BlockSource, openBody, TensorReader } from './body-reader.ts'
import { type BlockSink, BodyWriter } from './body-writer.ts'
import type { NextAnchorRequest, WrittenAnchor } from './calls.ts'
import { sliceLengths } from './slices.ts'

/** Everything one tensor is read from, opened a tensor ahead so that its first chunks are here when its turn comes. */
interface TensorInputs {
  tensor: AnchorTensor
  anchor: TensorReader
  state: Record<string, TensorReader>
  contributions: TensorReader[]
}

/**
 * @throws DaemonError bad_anchor, bad_contribution (it does not fit; it should have been checked); TrainingError non_finite, bad_codec_bytes,
 * bad_weight; ProtocolError block_missing, bad_message; whatever the blocks throw
 */
export async function nextAnchor(
  { blocks }: { blocks: BlockSource & BlockSink },
  request: NextAnchorRequest,
  signal?: AbortSignal
): Promise<WrittenAnchor> {
  const strategy = createOuterStrategy(request.strategy)
  const contributions = request.contributions.map(({ body, codec, tokens, age }) => ({
    body,
    codec: createCodec(codec),
    weight: contributionWeight(tokens, age)
  }))
  const [parent, ...bodies] = await Promise.all(
    [request.parentAnchor, ...contributions.map(({ body }) => body)].map(root => openBody(blocks, root))
  )
  const stages = anchorLayout(parent!)
  for (const [i, { body, codec }] of contributions.entries())
    if (!bodyFits(stages, bodies[i]!, codec))
      throw new DaemonError(
        'bad_contribution',
        `cannot count the body ${body}: its tensors are not those of the anchor ${request.parentAnchor}`
      )
  for (const { tensors } of stages) for (const tensor of tensors) checkState(tensor, strategy)

  const inputs = function* (): Generator<TensorInputs> {
    for (const [s, stage] of stages.entries())
      for (const [t, tensor] of stage.tensors.entries())
        yield {
          tensor,
          anchor: new TensorReader(blocks, tensor.trainable),
          state: Object.fromEntries(strategy.stateNames.map(name => [name, new TensorReader(blocks, tensor.state[name]!)])),
          contributions: bodies.map(body => new TensorReader(blocks, body[s]!.tensors[t]!))
        }
  }
  const writer = new BodyWriter(blocks)
  const queue = inputs()
  let ahead = queue.next()
  try {
    for (const stage of stages) {
      const trainable = []
      const state = []
      for (const _ of stage.tensors) {
        const current = ahead.value as TensorInputs
        ahead = queue.next()
        const [first, ...rest] = await stepTensor(current, strategy, contributions, writer, signal)
        trainable.push(first!)
        state.push(...rest)
      }
      await writer.stage(stage.name, [...trainable, ...state])
    }
    const { root, ...written } = await writer.finish()
    return { anchor: root, ...written }
  } catch (error) {
    await writer.settle().catch(() => {})
    throw error
  }
}

async function stepTensor(
  { tensor, anchor, state, contributions }: TensorInputs,
  strategy: OuterStrategy,
  weighted: readonly { codec: ReturnType<typeof createCodec>; weight: number }[],
  writer: BodyWriter,
  signal?: AbortSignal
) {
  const { name, shape, size } = tensor.trainable
  const next = writer.tensor(name, shape, size)
  const nextState = strategy.stateNames.map(stateName => ({
    stateName,
    writer: writer.tensor(stateTensorName(stateName, name), shape, size)
  }))
  for (const count of sliceLengths(tensor.count)) {
    signal?.throwIfAborted()
    const takeFloats = async (reader: TensorReader) => anchorCodec.decode(await reader.take(anchorCodec.maxBytes(count)), [count])
    const values = await takeFloats(anchor)
    const old: Record<string, Float32Array> = {}
    for (const stateName of strategy.stateNames) old[stateName] = await takeFloats(state[stateName]!)
    const deltas = []
    for (const [i, { codec, weight }] of weighted.entries())
      deltas.push({ weight, delta: codec.decode(await contributions[i]!.take(codec.maxBytes(count)), [count]) })
    const step = strategy.step(values, old, deltas)
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
