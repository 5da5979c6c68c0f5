// What a contribution's body must be before it is counted: a pure function of the body and the anchor it was measured from.
import { ProtocolError } from '../../protocols/errors.ts'
import { RecentMap } from '../../protocols/recent-map.ts'
import { type Codec, createCodec } from '../../training/compression/index.ts'
import { TrainingError } from '../../training/errors.ts'
import { addSquares, NORM_RATIO_MAX } from '../../training/outer/index.ts'
import { type AnchorStage, anchorCodec, anchorLayout, bodyFits } from './anchor-layout.ts'
import { type BlockSource, openBody, TensorReader } from './body-reader.ts'
import type { BodyRefusal, CheckContributionRequest, NormMaxRequest } from './calls.ts'
import { ANCHOR_NORMS_KEPT, BODY_NORMS_KEPT } from './constants.ts'
import { sliceLengths } from './slices.ts'

export interface CheckComponents {
  blocks: BlockSource
  norms: KnownNorms
}

/** What bodies and anchors came to, kept between calls: their names say all that it depends on. What could not be read is not kept. */
export class KnownNorms {
  readonly anchors = new RecentMap<string, number>(ANCHOR_NORMS_KEPT)
  /** By body, codec and anchor. */
  readonly bodies = new RecentMap<string, number | BodyRefusal>(BODY_NORMS_KEPT)
}

/**
 * Null for a body that may be counted. A body that was checked is not read again: any number of authors may name the same one.
 * @throws ProtocolError block_missing (not the author's fault), DaemonError bad_anchor, TrainingError bad_codec; whatever the blocks throw
 */
export async function checkContribution(
  { blocks, norms }: CheckComponents,
  request: CheckContributionRequest,
  signal?: AbortSignal
): Promise<BodyRefusal | null> {
  const { body, parentAnchor } = request
  const codec = createCodec(request.codec)
  const norm = await known(norms.bodies, `${body} ${codec.name} ${parentAnchor}`, async () =>
    bodyNorm(blocks, body, codec, await layoutOf(blocks, parentAnchor), signal)
  )
  if (typeof norm === 'string') return norm
  // All nodes compute the same bits, so a stated norm is equal or wrong.
  if (norm !== request.norm) return 'norm_mismatch'
  return norm > (await normMax({ blocks, norms }, request, signal)) ? 'norm_too_large' : null
}

/** The largest norm that a contribution measured from an anchor may have. */
export async function normMax({ blocks, norms }: CheckComponents, { parentAnchor }: NormMaxRequest, signal?: AbortSignal): Promise<number> {
  const ofAnchor = async (): Promise<number> => anchorNorm(blocks, await layoutOf(blocks, parentAnchor), signal)
  return NORM_RATIO_MAX * (await known(norms.anchors, parentAnchor, ofAnchor))
}

async function layoutOf(blocks: BlockSource, anchor: string): Promise<AnchorStage[]> {
  return anchorLayout(await openBody(blocks, anchor))
}

async function known<T>(kept: Map<string, T>, name: string, compute: () => Promise<T>): Promise<T> {
  const value = kept.get(name) ?? (await compute())
  kept.set(name, value)
  return value
}

async function bodyNorm(
  blocks: BlockSource,
  root: string,
  codec: Codec,
  stages: readonly AnchorStage[],
  signal?: AbortSignal
): Promise<number | BodyRefusal> {
  try {
    const body = await openBody(blocks, root)
    if (!bodyFits(stages, body, codec)) return 'shape_mismatch'
    let squares = 0
    for (const [s, { tensors }] of stages.entries())
      for (const [t, { count }] of tensors.entries())
        squares = await addTensorSquares(squares, new TensorReader(blocks, body[s]!.tensors[t]!), codec, count, signal)
    return Math.sqrt(squares)
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal === null) throw error
    return refusal
  }
}

async function addTensorSquares(squares: number, reader: TensorReader, codec: Codec, count: number, signal?: AbortSignal): Promise<number> {
  let sum = squares
  for (const length of sliceLengths(count)) {
    signal?.throwIfAborted()
    sum = addSquares(sum, codec.decode(await reader.take(codec.maxBytes(length)), [length]))
  }
  return sum
}

function refusalOf(error: unknown): BodyRefusal | null {
  if (error instanceof ProtocolError && (error.code === 'bad_message' || error.code === 'message_too_large')) return 'bad_body'
  if (error instanceof TrainingError && (error.code === 'bad_codec_bytes' || error.code === 'non_finite')) return error.code
  return null
}

/** Norm of an anchor's trainable tensors. */
async function anchorNorm(blocks: BlockSource, stages: readonly AnchorStage[], signal?: AbortSignal): Promise<number> {
  let squares = 0
  for (const { tensors } of stages)
    for (const { trainable, count } of tensors)
      squares = await addTensorSquares(squares, new TensorReader(blocks, trainable), anchorCodec, count, signal)
  return Math.sqrt(squares)
}
