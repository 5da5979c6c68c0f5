// How an anchor's stages are read: trainable tensors, and beside each the outer state that the strategy keeps.
import type { BodyTensor } from '../../protocols/bodies/index.ts'
import { type Codec, createCodec } from '../../training/compression/index.ts'
import { sameShape } from '../../training/outer/index.ts'
import { DaemonError } from '../errors.ts'
import type { OpenStage } from './body-reader.ts'
import { OUTER_PREFIX } from './constants.ts'

/** How anchors are written, whatever codec the contributions have. */
export const anchorCodec: Codec = createCodec('f32')

export interface AnchorTensor {
  trainable: BodyTensor
  count: number
  /** By state name, in the strategy's order. */
  state: Record<string, BodyTensor>
}

export interface AnchorStage {
  name: string
  tensors: AnchorTensor[]
}

export function stateTensorName(state: string, tensor: string): string {
  return `${OUTER_PREFIX}${state}/${tensor}`
}

export function valuesIn(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1)
}

/** @throws DaemonError bad_anchor: sizes that are not f32, state that belongs to nothing */
export function anchorLayout(stages: readonly OpenStage[]): AnchorStage[] {
  return stages.map(({ name, tensors }) => {
    const trainable = tensors.filter(tensor => !tensor.name.startsWith(OUTER_PREFIX))
    const entries = new Map(
      trainable.map(tensor => [tensor.name, { trainable: tensor, count: valuesIn(tensor.shape), state: {} } as AnchorTensor])
    )
    for (const tensor of tensors) {
      if (tensor.size !== anchorCodec.maxBytes(valuesIn(tensor.shape)))
        throw new DaemonError('bad_anchor', `cannot read the anchor's ${tensor.name}: ${tensor.size} bytes are no f32 [${tensor.shape}]`)
      if (tensor.name.startsWith(OUTER_PREFIX)) attachState(entries, tensor)
    }
    return { name, tensors: [...entries.values()] }
  })
}

function attachState(entries: Map<string, AnchorTensor>, tensor: BodyTensor): void {
  const slash = tensor.name.indexOf('/')
  const owner = entries.get(tensor.name.slice(slash + 1))
  if (slash < 0 || owner === undefined || !sameShape(owner.trainable.shape, tensor.shape))
    throw new DaemonError('bad_anchor', `cannot read the anchor's ${tensor.name}: it belongs to no tensor of its stage`)
  owner.state[tensor.name.slice(OUTER_PREFIX.length, slash)] = tensor
}

/** True where the body has the anchor's stages, trainable tensors and shapes, in its order, and each tensor the size that the codec gives it. */
export function bodyFits(anchor: readonly AnchorStage[], body: readonly OpenStage[], codec: Codec): boolean {
  return (
    body.length === anchor.length &&
    anchor.every(({ name, tensors }, s) => {
      const stage = body[s]!
      if (stage.name !== name || stage.tensors.length !== tensors.length) return false
      return tensors.every(({ trainable, count }, t) => {
        const tensor = stage.tensors[t]!
        return tensor.name === trainable.name && sameShape(tensor.shape, trainable.shape) && tensor.size === codec.maxBytes(count)
      })
    })
  )
}
