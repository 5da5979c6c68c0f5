// From a trainer's pseudo-gradient to a contribution's body on disk, and the residual beside it.
import type { BodyTensor } from '../../protocols/bodies/index.ts'
import { floatsOf, type OpenSafetensors, openSafetensors, StorageError, storedTensor } from '../../storage/index.ts'
import { type Codec, createCodec, encodeDelta } from '../../training/compression/index.ts'
import { addSquares, sameShape } from '../../training/outer/index.ts'
import { DaemonError } from '../errors.ts'
import { valuesIn } from './anchor-layout.ts'
import { type BlockSink, BodyWriter } from './body-writer.ts'
import type { EncodeContributionRequest, EncodedContribution } from './calls.ts'
import { sliceLengths } from './slices.ts'
import { writeTensors } from './write-tensors.ts'

/**
 * The body and the residual are durable when this resolves; when it fails, the residual file is as it was.
 * @throws DaemonError bad_contribution (a residual of another shape), norm_too_large; TrainingError non_finite, bad_codec; StorageError safetensors_missing, disk_full ...
 */
export async function encodeContribution(
  { blocks }: { blocks: BlockSink },
  request: EncodeContributionRequest,
  signal?: AbortSignal
): Promise<EncodedContribution> {
  const codec = createCodec(request.codec)
  const writer = new BodyWriter(blocks)
  const delta = await openSafetensors(request.deltaFile)
  let residual: OpenSafetensors | null = null
  try {
    if (request.residualFile !== null) residual = await openSafetensors(request.residualFile)
    const encoder = new TensorEncoder(codec, writer, delta, residual, signal)
    const tensors = await encodeTensors(encoder, request, signal)
    for (const stage of request.stages) await writer.stage(stage.name, tensors.splice(0, stage.tensors.length))
    const { root, ...written } = await writer.finish()
    return { body: root, norm: encoder.norm, ...written }
  } catch (error) {
    await writer.abandon()
    throw error
  } finally {
    await delta.close()
    await residual?.close()
  }
}

/** Encodes all tensors in order. The residual file's writer asks for one tensor after the other, so that only one is in memory. */
async function encodeTensors(
  encoder: TensorEncoder,
  {
    stages,
    nextResidualFile,
    normMax = Number.POSITIVE_INFINITY
  }: Pick<EncodeContributionRequest, 'stages' | 'nextResidualFile' | 'normMax'>,
  signal?: AbortSignal
): Promise<BodyTensor[]> {
  const names = stages.flatMap(stage => stage.tensors)
  const tensors: BodyTensor[] = []
  const encodeNext = async (name: string): Promise<Float32Array> => {
    // The norm is a sum in the body's order: it would be another number in another order.
    if (names[tensors.length] !== name) throw new RangeError(`${name} was asked for out of turn`)
    const { tensor, residual } = await encoder.encode(name)
    tensors.push(tensor)
    if (encoder.norm > normMax) throw tooLarge(encoder.norm, normMax)
    return residual
  }
  if (encoder.lossless) for (const name of names) await encodeNext(name)
  const kept = encoder.lossless ? [] : names
  const sources = kept.map(name => {
    const shape = encoder.shapeOf(name)
    return { name, shape, dtype: 'F32' as const, read: async () => storedTensor(name, shape, await encodeNext(name)).bytes }
  })
  await writeTensors(nextResidualFile, sources, undefined, signal)
  return tensors
}

function tooLarge(norm: number, normMax: number): DaemonError {
  return new DaemonError(
    'norm_too_large',
    `cannot offer a change whose norm is ${norm.toExponential(2)} or more: above ${normMax.toExponential(2)} it is no training, and training goes on from the anchor. ` +
      "Look at this node's data and engine; where others tell the same of theirs, the run learns too fast"
  )
}

class TensorEncoder {
  readonly lossless: boolean
  readonly #codec: Codec
  readonly #writer: BodyWriter
  readonly #delta: OpenSafetensors
  readonly #residual: OpenSafetensors | null
  readonly #shapes: Map<string, number[]>
  readonly #signal: AbortSignal | undefined
  #squares = 0

  constructor(codec: Codec, writer: BodyWriter, delta: OpenSafetensors, residual: OpenSafetensors | null, signal?: AbortSignal) {
    this.lossless = codec.lossless
    this.#codec = codec
    this.#writer = writer
    this.#delta = delta
    this.#residual = residual
    this.#shapes = new Map(delta.tensors.map(({ name, shape }) => [name, shape]))
    this.#signal = signal
  }

  /** Norm of everything encoded so far. */
  get norm(): number {
    return Math.sqrt(this.#squares)
  }

  /** @throws StorageError safetensors_missing */
  shapeOf(name: string): number[] {
    const shape = this.#shapes.get(name)
    if (shape === undefined) throw new StorageError('safetensors_missing', `the pseudo-gradient holds no tensor ${JSON.stringify(name)}`)
    return shape
  }

  /** Writes one tensor's bytes; gives what they leave out (no values where nothing is). */
  async encode(name: string): Promise<{ tensor: BodyTensor; residual: Float32Array }> {
    const shape = this.shapeOf(name)
    const values = floatsOf(await this.#delta.read(name, { signal: this.#signal }))
    const carried = await this.#carried(name, shape)
    const left = new Float32Array(this.lossless ? 0 : values.length)
    const tensor = this.#writer.tensor(name, shape, this.#codec.maxBytes(valuesIn(shape)))
    let start = 0
    for (const count of sliceLengths(values.length)) {
      this.#signal?.throwIfAborted()
      const end = start + count
      const slice = { name, shape: [count], values: values.subarray(start, end) }
      const encoded = encodeDelta(this.#codec, slice, carried?.subarray(start, end) ?? null)
      this.#squares = addSquares(this.#squares, encoded.sent)
      if (encoded.residual !== null) left.set(encoded.residual, start)
      await tensor.write(encoded.bytes)
      start = end
    }
    return { tensor: tensor.finish(), residual: left }
  }

  async #carried(name: string, shape: readonly number[]): Promise<Float32Array | null> {
    if (!this.#residual?.has(name)) return null
    const stored = await this.#residual.read(name, { signal: this.#signal })
    if (!sameShape(stored.shape, shape))
      throw new DaemonError(
        'bad_contribution',
        `cannot carry the residual of ${name}: it is [${stored.shape}], the pseudo-gradient [${shape}]`
      )
    return floatsOf(stored)
  }
}
