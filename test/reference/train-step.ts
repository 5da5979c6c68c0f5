// The reference workload, the same to the bit for every engine and for PyTorch, and the losses that PyTorch 2.13 gave on it.
// GPT without matrix biases, head not tied; the batch is the same at every step.
import type { ModelWorkload, ReferenceConfig } from '../../training/bench.ts'
import { createRandom } from '../../training/data/random.ts'
import type { NamedTensor } from '../../training/models/model.ts'
import type { AdamWOptions } from '../../training/optimizers/adamw.ts'

export const WORKLOADS: Record<'tiny' | 'small', ReferenceConfig> = {
  tiny: { V: 64, T: 16, B: 2, D: 32, L: 2, H: 2 },
  small: { V: 512, T: 128, B: 8, D: 256, L: 4, H: 4 }
}

/** Losses before each step, rounded to five places. */
export const PYTORCH_LOSSES: Record<'tiny' | 'small', number[]> = {
  tiny: [4.1762, 4.03725, 3.91863, 3.82151, 3.74193, 3.67596, 3.62073, 3.5736, 3.53209, 3.49442, 3.45909, 3.42486],
  small: [
    6.28958, 5.69571, 5.16188, 5.01852, 4.72694, 4.58311, 4.34461, 4.11654, 3.82993, 3.6065, 3.36607, 3.14481, 2.92086, 2.70862, 2.49327
  ]
}

export const LEARNING_RATE = 1e-3
export const ADAMW: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: null }

export type WorkloadSpec = [name: string, shape: number[], spread: number | '0' | '1']

export function workloadSpecs(c: ReferenceConfig): WorkloadSpec[] {
  const specs: WorkloadSpec[] = [
    ['wte', [c.V, c.D], 0.02],
    ['wpe', [c.T, c.D], 0.02]
  ]
  const narrow = 0.02 / Math.sqrt(2 * c.L)
  for (let l = 0; l < c.L; l++)
    specs.push(
      [`h${l}.ln1g`, [c.D], '1'],
      [`h${l}.ln1b`, [c.D], '0'],
      [`h${l}.qkv`, [c.D, 3 * c.D], 0.02],
      [`h${l}.proj`, [c.D, c.D], narrow],
      [`h${l}.ln2g`, [c.D], '1'],
      [`h${l}.ln2b`, [c.D], '0'],
      [`h${l}.fc`, [c.D, 4 * c.D], 0.02],
      [`h${l}.fc2`, [4 * c.D, c.D], narrow]
    )
  return [...specs, ['lnfg', [c.D], '1'], ['lnfb', [c.D], '0'], ['head', [c.D, c.V], 0.02]]
}

export function workloadParameters(c: ReferenceConfig): NamedTensor[] {
  const random = mulberry32(1234)
  return workloadSpecs(c).map(([name, shape, spread]) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
    if (spread === '1') values.fill(1)
    else if (spread !== '0')
      for (let i = 0; i < values.length; i += 2) {
        const u = Math.max(random(), 1e-7)
        const angle = 2 * Math.PI * random()
        const radius = Math.sqrt(-2 * Math.log(u)) * spread
        values[i] = radius * Math.cos(angle)
        if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle)
      }
    return { name, shape, values }
  })
}

export function workloadBatch(c: ReferenceConfig): { inputs: Int32Array; targets: Int32Array } {
  const random = mulberry32(99)
  const inputs = new Int32Array(c.B * c.T)
  const targets = new Int32Array(c.B * c.T)
  for (let b = 0; b < c.B; b++) {
    const row = Array.from({ length: c.T + 1 }, () => Math.floor(random() * c.V))
    for (let t = 0; t < c.T; t++) {
      inputs[b * c.T + t] = row[t]!
      targets[b * c.T + t] = row[t + 1]!
    }
  }
  return { inputs, targets }
}

/** A Llama with shared keys: the workload `llama-tiny` of test/peers/workload.mjs, and the losses that PyTorch 2.15 gave on it (test/peers/with-torch.py). */
export const LLAMA_WORKLOAD: ModelWorkload = {
  model: {
    family: 'llama',
    vocabulary: 64,
    context: 16,
    width: 32,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    hidden: 88,
    tiedEmbeddings: false
  },
  batch: 2
}
export const LLAMA_LOSSES = [
  4.1214, 4.04325, 3.96804, 3.89679, 3.83131, 3.77259, 3.71954, 3.66928, 3.61961, 3.57074, 3.52304, 3.47643, 3.43174, 3.38938, 3.34861
]

/** The batch that workload.mjs makes. */
export function llamaBatch(): Int32Array {
  const random = createRandom('workload.mjs')
  const { model, batch } = LLAMA_WORKLOAD
  const rows = Array.from({ length: batch }, () =>
    Array.from({ length: model.context + 1 }, () => Math.floor(random.fraction() * model.vocabulary))
  )
  return Int32Array.from([...rows.flatMap(row => row.slice(0, -1)), ...rows.flatMap(row => row.slice(1))])
}

function mulberry32(start: number): () => number {
  let seed = start
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
