// How large a model is: all sizes of a family from one number, and how many parameters come of them. Loads no model code, since the daemon asks too.
import type { ModelConfig } from './model.ts'

/** What `depth` may be: about 0.05 to 13,000 million parameters in the layers. */
export const DEPTH_MIN = 1
export const DEPTH_MAX = 64
/** Numbers of an attention head, as in GPT-2 and in most that came after it. */
const HEAD_SIZE = 64

export interface SizesOfDepth {
  /** What depth alone says. */
  sizes: { layers: number; width: number; heads: number; hidden?: number }
  /** What holds where nothing else is said. */
  defaults: { context: number; keyValueHeads?: number }
}

/**
 * A model of `depth` layers whose width grows with them, 64 x depth: both families then have about 12 x 64^2 x depth^3 parameters in their layers, and
 * GPT-2's own sizes stand at 12. Its context is the power of two from the width on.
 */
export function sizesOfDepth(family: ModelConfig['family'], depth: number): SizesOfDepth {
  const width = HEAD_SIZE * depth
  const context = 2 ** Math.ceil(Math.log2(width))
  const sizes = { layers: depth, width, heads: depth }
  if (family === 'gpt2') return { sizes, defaults: { context } }
  // Two thirds of four widths, for a gated layer has three matrices where another has two.
  const hidden = HEAD_SIZE * Math.ceil((8 * width) / 3 / HEAD_SIZE)
  return { sizes: { ...sizes, hidden }, defaults: { context, keyValueHeads: depth } }
}

/** How many trainable numbers a model of this configuration has. */
export function parameterCount(config: ModelConfig): number {
  const { vocabulary, context, width, layers, tiedEmbeddings } = config
  const ends = vocabulary * width * (tiedEmbeddings ? 1 : 2)
  if (config.family === 'gpt2') {
    const block = 12 * width * width + 4 * width + (config.biases ? 9 * width : 0)
    return ends + context * width + layers * block + 2 * width
  }
  const shared = (width / config.heads) * config.keyValueHeads
  const attention = 2 * width * (width + shared)
  return ends + layers * (attention + 3 * width * config.hidden + 2 * width) + width
}
