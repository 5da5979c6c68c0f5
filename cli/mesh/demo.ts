// What `shoal mesh run` does when it is told nothing: small enough for two cores and five minutes, real in every part.
import type { Scenario } from './scenario.ts'

/** The four eras of the built-in corpus, oldest first: shards that are unlike one another. */
export const ERAS = ['1790-1860', '1861-1913', '1914-1960', '1961-2021'] as const

/** The last index that the built-in scenario kills: the author of the run stays, so that its own line of output goes on. */
const VICTIM = 3

/** A GPT of a quarter of a million parameters on bytes; each node has a text of its own. */
export const DEMO_SPEC = {
  version: 1,
  name: 'demo',
  model: { family: 'gpt2', layers: 2, width: 96, heads: 4, context: 64, biases: false, tiedEmbeddings: true },
  tokenizer: { kind: 'bytes' },
  data: { corpus: 'private' },
  strategy: {
    outer: { name: 'averaging' },
    codec: { name: 'int8' },
    innerSteps: 30,
    deadlineMs: 15_000,
    graceMs: 3000,
    fetchTimeoutMs: 10_000,
    quorum: 2
  },
  optimizer: {
    name: 'adamw',
    learningRate: 3e-3,
    beta1: 0.9,
    beta2: 0.95,
    weightDecay: 0.1,
    clipNorm: 1,
    schedule: 'cosine',
    warmupSteps: 20,
    totalSteps: 540,
    finalFactor: 0.1,
    batch: 16,
    accumulation: 1
  },
  seed: 1
}

/** The built-in scenario as a plain value; a member is killed and comes back where there are enough nodes and rounds for it. */
export function demoScenario(nodes: number, rounds: number): Record<string, unknown> {
  const steps =
    nodes >= VICTIM && rounds >= 4
      ? [
          { at: { round: 2 }, do: 'kill', node: VICTIM },
          { at: { round: 4 }, do: 'restart', node: VICTIM }
        ]
      : []
  return { nodes, run: 'demo', rounds, timeout: '5m', steps, expect: ['equalAnchors'] }
}

/** Nodes and rounds of the built-in scenario. */
export const DEMO_SIZE: Pick<Scenario, 'nodes' | 'rounds'> = { nodes: 4, rounds: 18 }

/** The corpus of node `index` where every member brings its own: one era after the other, round about. */
export function shardOf(index: number): string {
  return `sotu:${ERAS[(index - 1) % ERAS.length]}`
}
