// What the daemon and its trainer process say to each other. Messages are small; tensors cross as safetensors files in the node's home.
import type { ModelConfig } from '../../training/models/model.ts'
import type { AdoptMode } from '../../training/trainer.ts'

/** Everything a trainer needs to begin; paths lie inside the node's home. */
export interface TrainerStart {
  /** Folder of this run's trainer state (`state.safetensors`, `delta-<seq>.safetensors`). */
  directory: string
  model: ModelConfig
  tokenizer: TrainerTokenizer
  corpus: TrainerCorpus
  optimizer: TrainerOptimizer
  seed: number
  /** `auto`, or the engine to use as long as it is not among those given up. */
  engine: string
  threads: number
  /** The anchor to begin from when no state is on disk. */
  anchorFile: string
  /** Inner steps that the run has behind it at that anchor, for the learning-rate schedule. */
  firstStep: number
}

export interface TrainerTokenizer {
  kind: string
  vocabulary: number
  /** Text of a tokenizer.json, where the kind alone does not say everything. */
  json: string | null
}

export interface TrainerCorpus {
  /** `sotu`, `sotu:1790-1860`, or paths of text, JSONL and folders of them. */
  sources: string[]
  /** Shared corpora are cut into slots which the members divide; private ones are read whole by their owner. */
  shared: { peer: string; contributors: string[] } | null
}

export interface TrainerOptimizer {
  learningRate: number
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  clipNorm: number | null
  schedule: 'constant' | 'cosine'
  warmupSteps: number
  totalSteps: number
  finalFactor: number
  batch: number
  accumulation: number
}

/** What the daemon asks. Requests with an `id` are answered by one `done` or `failed`. */
export type TrainerRequest =
  | { type: 'start'; start: TrainerStart; without: string[] }
  /** Train on until there are this many inner steps since the last snapshot; as many or fewer than there are means wait. */
  | { type: 'allow'; until: number }
  | { type: 'assign'; contributors: string[] }
  | { type: 'snapshot'; id: number; round: number }
  | { type: 'adopt'; id: number; anchorFile: string; record: string; mode: AdoptMode }
  | { type: 'restore'; id: number; sequence: number; deltaFile: string }
  | { type: 'save'; id: number }
  | { type: 'stop' }

export interface SnapshotResult {
  /** Counts this trainer's snapshots from 1; names the delta file. */
  sequence: number
  round: number
  steps: number
  tokens: number
  /** Mean training loss over those steps, nats a token. */
  loss: number
}

export interface TrainerReady {
  engine: string
  /** Why that one, in words. */
  why: string
  compileMs: number
  step: number
  stepsSinceSnapshot: number
  tokensSinceSnapshot: number
  /** The last snapshot this state knows of, so that the daemon can tell whether its contribution was ever offered. */
  snapshot: SnapshotResult | null
  /** The record whose anchor the local parameters rest on; null before the first adoption. */
  record: string | null
  corpusTokens: number
  /** The text has no such place any more as the state had come to: its epoch begins again. */
  epochAgain: boolean
}

export interface TrainerStep {
  step: number
  loss: number
  learningRate: number
  tokens: number
  ms: number
  gradNorm: number | null
  stepsSinceSnapshot: number
  tokensSinceSnapshot: number
  epoch: number
}

/** What the trainer answers and reports. */
export type TrainerReport =
  /** It reads its text and makes tokens of it; whatever ends it so far is no engine's fault. */
  | { type: 'reading' }
  /** It is about to load this engine, or has found none that is left: whatever ends it from here on is told of that one. */
  | { type: 'engine'; engine: string | null }
  | { type: 'ready'; ready: TrainerReady }
  | { type: 'step'; step: TrainerStep }
  | { type: 'waiting'; step: number }
  | { type: 'done'; id: number; result: SnapshotResult | null }
  | { type: 'failed'; id: number; code: string; message: string }
  | { type: 'fatal'; code: string; message: string }
