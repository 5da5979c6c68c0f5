// What several mesh tests start: the compiled command, and a run small enough that a round takes a second or two.
import { join } from 'node:path'

export const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.js')

export const SMALL_RUN = `
name: small
model: { family: gpt2, layers: 1, width: 32, heads: 2, context: 32, biases: false }
tokenizer: { kind: bytes }
data: { corpus: private }
strategy: { innerSteps: 20, deadlineMs: 8000, graceMs: 1000, fetchTimeoutMs: 4000 }
optimizer: { name: adamw, learningRate: 5e-3, batch: 4 }
`

/** A run of the same size that one node trains alone, on the text that comes with the project. */
export const LONE_RUN = {
  name: 'life',
  model: { family: 'gpt2', layers: 1, width: 32, heads: 2, context: 32, biases: false },
  tokenizer: { kind: 'bytes' },
  data: { corpus: 'sotu' },
  strategy: { innerSteps: 5, quorum: 1 },
  optimizer: { learningRate: 5e-3, batch: 4 }
}
