// What a contribution's body must be before it is counted: a pure function of the body and the anchor it was measured from.
import { ProtocolError } from '../../protocols/errors.ts'
import { type Codec, createCodec } from '../../training/compression/index.ts'
import { TrainingError } from '../../training/errors.ts'
import { addSquares, NORM_RATIO_MAX } from '../../training/outer/index.ts'
import { type AnchorStage, anchorCodec, anchorLayout, bodyFits } from './anchor-layout.ts'
import { type BlockSource, openBody, TensorReader } from './body-reader.ts'
import type { BodyRefusal, CheckContributionRequest } from './calls.ts'
import { NORMS_KEPT } from './constants.ts'
import { sliceLengths } from './slices.ts'

export interface CheckComponents {
  blocks: BlockSource
  /** Norms of anchors by CID, kept between calls. */
  norms: Map<string, number>
}

/**
 * Null for a body that may be counted.
 * @throws ProtocolError block_missing (not the author's fault), DaemonError bad_anchor, TrainingError bad_codec; whatever the blocks throw
 */
export async function checkContribution(
  { blocks, norms }: CheckComponents,
  request: CheckContributionRequest,
  signal?: AbortSignal
): Promise<BodyRefusal | null> {
  const codec = createCodec(request.codec)
  const stages = anchorLayout(await openBody(blocks, request.parentAnchor))
  const norm = await bodyNorm(blocks, request.body, codec, stages, signal)
  if (typeof norm === 'string') return norm
  // All nodes compute the same bits, so a stated norm is equal or wrong.
  if (norm !== request.norm) return 'norm_mismatch'
  return norm > NORM_RATIO_MAX * (await anchorNorm(blocks, norms, request.parentAnchor, stages, signal)) ? 'norm_too_large' : null
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
async function anchorNorm(
  blocks: BlockSource,
  norms: Map<string, number>,
  anchor: string,
  stages: readonly AnchorStage[],
  signal?: AbortSignal
): Promise<number> {
  const known = norms.get(anchor)
  if (known !== undefined) return known
  let squares = 0
  for (const { tensors } of stages)
    for (const { trainable, count } of tensors)
      squares = await addTensorSquares(squares, new TensorReader(blocks, trainable), anchorCodec, count, signal)
  const norm = Math.sqrt(squares)
  if (norms.size >= NORMS_KEPT) norms.delete(norms.keys().next().value!)
  norms.set(anchor, norm)
  return norm
}
