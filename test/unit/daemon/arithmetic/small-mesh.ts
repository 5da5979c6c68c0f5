// A small model's tensors, blocks in memory, and contributions to it, the same on every machine.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { safetensorsToAnchor } from '../../../../daemon/arithmetic/anchor-files.ts'
import type { BlockSource } from '../../../../daemon/arithmetic/body-reader.ts'
import type { BlockSink } from '../../../../daemon/arithmetic/body-writer.ts'
import type { EncodedContribution, StageNames, WrittenAnchor } from '../../../../daemon/arithmetic/calls.ts'
import { encodeContribution } from '../../../../daemon/arithmetic/encode-contribution.ts'
import { checkHash, storedTensor, writeSafetensorsFile } from '../../../../storage/index.ts'
import type { CodecSpec } from '../../../../training/compression/index.ts'
import type { OuterStrategySpec } from '../../../../training/outer/index.ts'

export interface NamedTensor {
  name: string
  shape: number[]
  values: Float32Array
}

/** Two stages; `wte` is longer than one chunk of an anchor, `scale` shorter than any codec's block. */
export const STAGES: StageNames[] = [
  { name: 'embedding', tensors: ['wte', 'wpe'] },
  { name: 'block.0', tensors: ['scale', 'attn', 'scalar'] }
]
const SHAPES: Record<string, number[]> = { wte: [700, 400], wpe: [64, 33], scale: [7], attn: [99, 50], scalar: [] }

/** Numbers from a 31-bit generator, exact in f32, most of them small. */
export function tensorsOf(seed: number, size: number): NamedTensor[] {
  let state = seed
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 7) / 16_777_216 - 0.5
  }
  return STAGES.flatMap(stage => stage.tensors).map(name => {
    const shape = SHAPES[name]!
    const values = new Float32Array(shape.reduce((count, dimension) => count * dimension, 1))
    for (let i = 0; i < values.length; i++) values[i] = next() * next() * size
    return { name, shape, values }
  })
}

/** Blocks in memory; counts what is written. */
export class MemoryBlocks implements BlockSource, BlockSink {
  readonly blocks = new Map<string, Uint8Array>()
  puts: string[] = []

  async has(cid: string): Promise<boolean> {
    return this.blocks.has(cid)
  }

  async get(cid: string): Promise<Uint8Array | undefined> {
    return this.blocks.get(cid)
  }

  async put(cid: string, bytes: Uint8Array): Promise<void> {
    checkHash(cid, bytes)
    this.puts.push(cid)
    // A copy: slice() of a Buffer would share memory with the caller.
    this.blocks.set(cid, new Uint8Array(bytes))
  }

  async delete(cid: string): Promise<void> {
    this.blocks.delete(cid)
  }
}

/** Inside describe(): a folder for each test. */
export function temporaryFolder(): () => string {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-arithmetic-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))
  return () => folder
}

export async function writeTensors(file: string, tensors: readonly NamedTensor[]): Promise<void> {
  await writeSafetensorsFile(
    file,
    tensors.map(({ name, shape, values }) => storedTensor(name, shape, values))
  )
}

export async function genesis(blocks: MemoryBlocks, strategy: OuterStrategySpec): Promise<WrittenAnchor> {
  return await safetensorsToAnchor({ blocks }, { tensors: tensorsOf(1, 1), stages: STAGES, strategy })
}

/** One node's contribution; the residual goes from one round's file to the next. */
export async function contribute(
  blocks: BlockSink,
  folder: string,
  { seed, codec, round = 1 }: { seed: number; codec: CodecSpec | string; round?: number }
): Promise<EncodedContribution> {
  const deltaFile = join(folder, `delta-${seed}-${round}.safetensors`)
  await writeTensors(deltaFile, tensorsOf(1000 * round + seed, 0.01))
  return await encodeContribution(
    { blocks },
    {
      deltaFile,
      residualFile: round === 1 ? null : join(folder, `residual-${seed}-${round - 1}.safetensors`),
      nextResidualFile: join(folder, `residual-${seed}-${round}.safetensors`),
      codec,
      stages: STAGES
    }
  )
}
