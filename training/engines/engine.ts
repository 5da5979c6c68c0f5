// What computes: one interface, several engines behind it, and the rule by which `auto` chooses.
import { TrainingError } from '../errors.ts'
import type { Model, NamedTensor } from '../models/model.ts'
import type { AdamWOptions } from '../optimizers/adamw.ts'
import type { WebgpuProbe } from './webgpu/probe.ts'

export type { AdamWOptions } from '../optimizers/adamw.ts'

/** In the order in which {@link openEngine} tries them for `auto`; a trainer may measure instead, as choose.ts says. */
export const ENGINE_NAMES = ['tfjs-node-gpu', 'webgpu', 'traced', 'tfjs-node', 'wasm', 'js'] as const
export type EngineName = (typeof ENGINE_NAMES)[number]

/** One forward's worth of examples: row-major [batch, context] token ids, targets one token ahead of inputs. */
export interface TokenBatch {
  inputs: Int32Array
  targets: Int32Array
}

export interface TrainingOptions {
  /** Sequences in a microbatch. */
  batch: number
  /** Tokens of a sequence; at most the model's context. */
  context: number
  /** Microbatches whose mean gradient makes one step. */
  accumulation: number
  optimizer: AdamWOptions
}

/** All of it is refused with TrainingError 'engine_disposed' after `dispose` and, but for `load`, with 'not_loaded' before `load`. Calls do not overlap. */
export interface CompiledTraining {
  compileMs: number
  /** Starts from these parameters, moments (zeros if absent; `adam.m/NAME` and `adam.v/NAME`) and the number of steps that those are made of. Copies what it is given. */
  load(parameters: NamedTensor[], moments?: NamedTensor[], step?: number): Promise<void>
  /**
   * One optimizer step. Loss is the mean over the microbatches in nats a token, before the step; gradNorm is the norm before clipping, null where nothing clips.
   * What it refuses leaves all as it was. Where it fails otherwise, some parameters may have stepped and others not: nothing but `dispose` is of use then.
   */
  step(microbatches: TokenBatch[], learningRate: number): Promise<{ loss: number; gradNorm: number | null }>
  parameters(): Promise<NamedTensor[]>
  /** Replaces the parameters, leaves moments and step alone. */
  setParameters(parameters: NamedTensor[]): Promise<void>
  moments(): Promise<NamedTensor[]>
  dispose(): Promise<void>
}

export interface CompiledForward {
  load(parameters: NamedTensor[]): Promise<void>
  /** [batch, context, vocabulary] of tokens [batch, context]. */
  logits(inputs: Int32Array): Promise<Float32Array>
  /** Nats at each position, [batch, context]. */
  losses(inputs: Int32Array, targets: Int32Array): Promise<Float32Array>
  dispose(): Promise<void>
}

/**
 * Goes on with one text. What its tokens leave in attention is kept, so that one more costs the work of one. Refuses as {@link CompiledTraining} does, and
 * with 'bad_batch' what has no room in the context. Calls do not overlap.
 */
export interface CompiledDecoding {
  /** The parameters, and no text. */
  load(parameters: NamedTensor[]): Promise<void>
  /** Begins another text with these tokens, at least one: the logits of what follows, [vocabulary]. */
  begin(tokens: Int32Array): Promise<Float32Array>
  /** One token more, the first where none was begun with: the logits of what follows it, [vocabulary]. */
  next(token: number): Promise<Float32Array>
  dispose(): Promise<void>
}

/** Shapes that a forward is compiled for; context may be shorter than the model's. */
export interface ForwardOptions {
  batch: number
  context: number
}

export interface Engine {
  name: EngineName
  compileTraining(model: Model, options: TrainingOptions): Promise<CompiledTraining>
  compileForward(model: Model, options: ForwardOptions): Promise<CompiledForward>
  /** @param options `context` is the longest text, at most the model's */
  compileDecoding(model: Model, options: { context: number }): Promise<CompiledDecoding>
  /** Disposes what it compiled too. */
  dispose(): Promise<void>
}

export interface EngineOptions {
  /** CPU threads to compute on; engines that have one thread ignore it. */
  threads: number
}

export interface EngineListing {
  name: EngineName
  available: boolean
  /** Why it is not available. */
  reason: string | null
  /** What would make it available. */
  install: string | null
  /** The GPU that it computes on, where that could be learned. */
  adapter: string | null
  /** Whether that GPU is a program on the CPU, which `auto` never takes. */
  software: boolean
}

const INSTALL: Record<EngineName, string | null> = {
  webgpu: "the GPU's driver (on Linux its Vulkan driver and libvulkan1)",
  traced: 'npm install onnxruntime-node',
  'tfjs-node-gpu': 'npm install --no-save @tensorflow/tfjs-node-gpu',
  'tfjs-node': 'npm install --no-save @tensorflow/tfjs-node',
  wasm: 'npm install @tensorflow/tfjs-backend-wasm',
  js: null
}

/** Every engine, in the order of {@link ENGINE_NAMES}, with whether it works on this machine: each is loaded to find out. */
export async function listEngines(): Promise<EngineListing[]> {
  const listings: EngineListing[] = []
  // One after the other: tfjs keeps one current backend for the process.
  for (const name of ENGINE_NAMES) listings.push(await describeEngine(name))
  return listings
}

/**
 * Opens an engine; `auto` takes the first of {@link ENGINE_NAMES} that works here, but no GPU made of software.
 *
 * @throws TrainingError 'unknown_engine', 'engine_unavailable'
 */
export async function openEngine(name: EngineName | 'auto', options: EngineOptions): Promise<Engine> {
  if (!Number.isSafeInteger(options.threads) || options.threads < 1)
    throw new TrainingError(
      'engine_failed',
      `Cannot open engine ${name} with ${options.threads} threads: threads must be a whole number from 1`
    )
  if (name === 'auto') {
    for (const candidate of ENGINE_NAMES) {
      const { available, software } = await describeEngine(candidate)
      if (available && !software) return open(candidate, options)
    }
    throw new TrainingError('engine_unavailable', 'Cannot open any engine')
  }
  if (!ENGINE_NAMES.includes(name))
    throw new TrainingError(
      'unknown_engine',
      `Cannot open engine ${JSON.stringify(name)}: the engines are auto, ${ENGINE_NAMES.join(', ')}`
    )
  const reason = await unavailable(name)
  if (reason !== null)
    throw new TrainingError('engine_unavailable', `Cannot open engine ${name}: ${reason}`, {
      hint: INSTALL[name] ?? 'Choose another engine',
      details: { name }
    })
  return open(name, options)
}

/** Whether it works on this machine: it is loaded to find out. */
export async function describeEngine(name: EngineName): Promise<EngineListing> {
  const reason = await unavailable(name)
  const { adapter, software } = name === 'webgpu' ? await probe() : { adapter: null, software: false }
  return { name, available: reason === null, reason, install: reason === null ? null : INSTALL[name], adapter, software }
}

async function unavailable(name: EngineName): Promise<string | null> {
  // Imported when asked for: each loads tens of megabytes.
  if (name === 'webgpu') return (await probe()).reason
  if (name === 'traced')
    return import('./traced/traced.ts').then(
      () => null,
      (error: unknown) => (error instanceof Error ? error.message.split('\n')[0]! : String(error))
    )
  return (await import('./tfjs.ts')).tfjsUnavailable(name)
}

async function probe(): Promise<WebgpuProbe> {
  return (await import('./webgpu/probe.ts')).probeWebgpu()
}

async function open(name: EngineName, options: EngineOptions): Promise<Engine> {
  if (name === 'webgpu') return (await import('./webgpu/webgpu.ts')).openWebgpuEngine()
  if (name === 'traced') return (await import('./traced/traced.ts')).openTracedEngine(options)
  return (await import('./tfjs.ts')).openTfjsEngine(name)
}
