// Opens the engine that a trainer computes with: the one that was asked for, or what is fastest here. What was measured is remembered beside the
// trainer's state, with all that it holds for, so that a restart measures nothing.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { writeFileAtomic } from '../../storage/index.ts'
import { choiceInWords, contenders, type MeasuredEngine, measureEngines, type Workload } from '../../training/engines/choose.ts'
import { type Engine, type EngineName, openEngine } from '../../training/engines/engine.ts'
import { TrainingError } from '../../training/errors.ts'
import { isCodedError, reasonOf } from '../errors.ts'
import { VERSION } from '../version.ts'

const MEASURED_FILE = 'engines.json'

interface MeasuredFile {
  /** What it holds for, as one text. */
  of: string
  /** The fastest first. */
  measured: MeasuredEngine[]
}

export interface ChoiceOptions {
  /** Engines that were given up. */
  without: readonly string[]
  /** Told before each is loaded, and null where none is left. */
  onTry(engine: string | null): void
  /** Which could be the fastest here. @default those that training finds by loading them */
  among?: typeof contenders
}

/**
 * @param start `engine` is a name or `auto`; one that was given up counts as `auto`
 * @throws TrainingError 'engine_unavailable' where none is left, or the one that was asked for does not work here
 */
export async function openChosen(
  { engine: asked, directory }: { engine: string; directory: string },
  workload: Workload,
  { without, onTry, among = contenders }: ChoiceOptions
): Promise<{ engine: Engine; why: string }> {
  const open = async (name: EngineName, why: string) => {
    onTry(name)
    return { engine: await byEngine(() => openEngine(name, { threads: workload.threads })), why }
  }
  if (asked !== 'auto' && !without.includes(asked)) return open(asked as EngineName, 'asked for')
  const names = await among(without, onTry)
  const [only] = names
  if (only === undefined) {
    onTry(null)
    throw new TrainingError('engine_unavailable', 'Cannot open any engine that was not given up')
  }
  if (names.length === 1)
    return open(only, `nothing that could be faster works here${without.length === 0 ? '' : `; given up: ${without.join(', ')}`}`)
  const measured = await measureOnce(join(directory, MEASURED_FILE), names, workload, onTry)
  // Where none can do the step, the first says why.
  return measured.length === 0 ? open(only, 'none could be measured') : open(measured[0]!.engine, choiceInWords(measured))
}

async function measureOnce(
  file: string,
  names: EngineName[],
  workload: Workload,
  onTry: (engine: string) => void
): Promise<MeasuredEngine[]> {
  const { model, options, threads } = workload
  const of = JSON.stringify({ shoal: VERSION, node: process.version, names, threads, model: model.config, options })
  const before = await readMeasured(file, of, names)
  if (before !== null) return before
  const measured = await measureEngines(names, workload, onTry)
  // Another time one of them may work; and a disk that does not take this costs the next start no more than to measure again.
  if (measured.length > 0) await writeFileAtomic(file, JSON.stringify({ of, measured } satisfies MeasuredFile)).catch(() => {})
  return measured
}

/** Null where there is none that holds for `of`, and where it is damaged or names other engines: it is only measured again. */
async function readMeasured(file: string, of: string, names: EngineName[]): Promise<MeasuredEngine[] | null> {
  const row = v.object({ engine: v.picklist(names), stepMs: v.pipe(v.number(), v.finite(), v.gtValue(0)) })
  try {
    const read = v.safeParse(
      v.object({ of: v.literal(of), measured: v.pipe(v.array(row), v.minLength(1)) }),
      JSON.parse(await readFile(file, 'utf8'))
    )
    return read.success ? read.output.measured : null
  } catch {
    return null
  }
}

/** What an engine throws without a code of ours, such as a driver's error, is still the engine's failure. */
export async function byEngine<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    if (isCodedError(error)) throw error
    throw new TrainingError('engine_failed', reasonOf(error), { cause: error })
  }
}
