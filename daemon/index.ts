// The daemon's public face: all that the command line may use of it. What is heavy loads when it is called, so that help stays instant.
//
//   await runDaemon({ flags: { home, bootstrap }, env, signal, onReady: ready => console.log(ready.join) })
import { resolve } from 'node:path'
import type { BenchAttacksReport } from '../training/attacks/bench.ts'
import type { BenchTrainReport } from '../training/bench.ts'
import type { Era } from '../training/data/builtin-corpus.ts'
import type { MeasuredEngine } from '../training/engines/choose.ts'
import type { EngineListing } from '../training/engines/engine.ts'
import type { Evaluation } from '../training/evaluation.ts'
import type { BenchAttacksFlags } from './bench-attacks.ts'
import type { BenchRoundOptions, BenchRoundRow } from './bench-round/bench-round.ts'
import type { BenchTrainFiles } from './bench-train.ts'
import type { EvaluateOptions, GenerateOptions } from './checkpoints/local-checkpoint.ts'
import type { RestoredIdentity } from './identity-backup.ts'
import type { RunDaemonOptions } from './run-daemon.ts'

export { ENGINE_NAMES } from '../training/engines/engine.ts'
export { type ConfigSources, type DaemonConfig, homeOf, loadConfig, readConfig, settingRows } from './config.ts'
export type { DaemonReady } from './daemon.ts'
export { DaemonError, type DaemonErrorCode } from './errors.ts'
export { DEMO_SPEC, parseRunSpec, type RunSpec, type RunSpecInput, specWarnings } from './manifest.ts'
export { VERSION } from './version.ts'
export { nestsTooDeep } from './yaml-text.ts'

/** Runs a node until told to stop. @see RunDaemonOptions for what it needs and the errors that keep it from starting */
export async function runDaemon(options: RunDaemonOptions): Promise<void> {
  const face = await import('./run-daemon.ts')
  await face.runDaemon(options)
}

/** Makes a home with its identity, so that its peer id is known before it runs; what is there already stays. */
export async function initHome(home: string): Promise<{ peer: string; home: string; created: boolean }> {
  const { IDENTITY_FILE, loadIdentity, peerOf } = await import('./identity.ts')
  const { existsSync } = await import('node:fs')
  const { makeFolder } = await import('../storage/index.ts')
  const path = resolve(home)
  const created = !existsSync(resolve(path, IDENTITY_FILE))
  await makeFolder(path)
  return { peer: peerOf(await loadIdentity(path)), home: path, created }
}

/** Writes a home's identity to a new file. @throws {DaemonError} `identity_missing`, `identity_damaged`, `backup_exists`, `backup_unwritable` */
export async function backUpIdentity(home: string, file: string): Promise<{ peer: string; file: string }> {
  const face = await import('./identity-backup.ts')
  return face.backUpIdentity(resolve(home), resolve(file))
}

/** Makes a backup the identity of a home that no daemon uses. @throws {DaemonError} `backup_*`, `identity_exists`, `home_in_use` */
export async function restoreIdentity(home: string, file: string, options: { force: boolean }): Promise<RestoredIdentity> {
  const face = await import('./identity-backup.ts')
  return face.restoreIdentity(resolve(home), resolve(file), options)
}

/** What could compute on this machine, and why the rest could not. */
export async function listEngines(): Promise<EngineListing[]> {
  const engines = await import('../training/engines/engine.ts')
  return engines.listEngines()
}

/** Times a small training step on every engine that works here, plain JavaScript only where nothing else does; the fastest is first. */
export async function measureEngines(options: { signal?: AbortSignal } = {}): Promise<MeasuredEngine[]> {
  const [{ measureHere }, { availableParallelism }] = await Promise.all([import('../training/engines/choose.ts'), import('node:os')])
  return measureHere(availableParallelism(), options)
}

/** Times the compiled training step on a reference workload's files. */
export async function benchTrain(files: BenchTrainFiles): Promise<BenchTrainReport> {
  const face = await import('./bench-train.ts')
  return face.benchTrain(files)
}

/** Times whole rounds among processes of their own on this machine. */
export async function benchRound(options: BenchRoundOptions): Promise<BenchRoundRow[]> {
  const face = await import('./bench-round/bench-round.ts')
  return face.benchRound(options)
}

/** What liars do to a small model, by each way to combine contributions. */
export async function benchAttacks(flags: BenchAttacksFlags): Promise<BenchAttacksReport> {
  const face = await import('./bench-attacks.ts')
  return face.benchAttacks(flags)
}

/** How well the checkpoint in a folder knows each group of texts; no daemon is needed. */
export async function evaluateCheckpoint(directory: string, groups: string[][], options?: EvaluateOptions): Promise<Evaluation[]> {
  const face = await import('./checkpoints/local-checkpoint.ts')
  return face.evaluateCheckpoint(directory, groups, options)
}

/** Text that the checkpoint in a folder goes on with; `onText` hears each piece. */
export async function generateFromCheckpoint(
  directory: string,
  options: GenerateOptions,
  onText?: (piece: string) => void
): Promise<string> {
  const face = await import('./checkpoints/local-checkpoint.ts')
  return face.generateFromCheckpoint(directory, options, onText)
}

/** The built-in corpus as its four eras, each with the held-out part that no run ever trains on. */
export async function builtinEras(): Promise<Era[]> {
  const face = await import('./corpora.ts')
  return face.builtinEras()
}
