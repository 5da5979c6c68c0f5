// The run's description that a scenario names, as it goes to the first node: the demo's or a file's, with the scenario's changes laid over it.
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { CliError } from '../errors.ts'
import { readNamed } from '../files.ts'
import { DEMO_SPEC } from './demo.ts'
import type { Scenario } from './scenario.ts'

export interface MeshSpec {
  /** Text as it stands in the file where nothing is changed, so that the daemon's errors can name its lines; else the value. */
  spec: unknown
  baseDir?: string
  file?: string
  /** Whether each member brings its own text. */
  isPrivate: boolean
  /** Sentence for the screen. */
  name: string
}

/**
 * @param folder from which a relative path is read: the scenario file's.
 * @throws CliError `file_unreadable`, `bad_scenario`.
 */
export async function loadSpec(scenario: Pick<Scenario, 'run' | 'seed' | 'set'>, folder: string): Promise<MeshSpec> {
  const isChanged = scenario.seed !== null || Object.keys(scenario.set).length > 0
  if (scenario.run === 'demo') return meshSpec(changed(DEMO_SPEC, scenario), {})
  const file = resolve(folder, scenario.run)
  const text = await readNamed(file)
  let value: unknown
  try {
    value = parse(text, { maxAliasCount: 100 })
  } catch (cause) {
    throw new CliError(
      'bad_scenario',
      `cannot read the manifest ${file}: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`,
      {
        cause
      }
    )
  }
  if (!isMapping(value)) throw new CliError('bad_scenario', `cannot read the manifest ${file}: it is not a mapping`)
  const { isPrivate, name } = meshSpec(value, {})
  return { spec: isChanged ? changed(value, scenario) : text, baseDir: dirname(file), file, isPrivate, name }
}

/**
 * The same run for a node that has no others: it closes every round by itself and loses nothing to compression. Each of its rounds has exactly
 * `innerSteps` steps, since it waits for the anchor: a comparison by steps needs rounds that can be counted in them.
 * @param learningRate replaces the manifest's inner rate.
 */
export function loneSpec(value: unknown, learningRate: number | null = null): Record<string, unknown> {
  const spec = (typeof value === 'string' ? parse(value) : structuredClone(value)) as Record<string, unknown>
  const strategy = isMapping(spec.strategy) ? spec.strategy : {}
  const lone = { outer: { name: 'averaging' }, codec: { name: 'f32' }, quorum: 1, maxStepsAhead: 0 }
  return {
    ...spec,
    strategy: { ...strategy, ...lone, deadlineMs: LONE_DEADLINE_MS, keepRounds: LONE_KEEP_ROUNDS },
    ...(learningRate === null ? {} : { optimizer: { ...(isMapping(spec.optimizer) ? spec.optimizer : {}), learningRate } })
  }
}

/** Milliseconds: a lone node's rounds end by their steps, never by time, however busy the machine. */
const LONE_DEADLINE_MS = 3_600_000

/** Rounds whose anchors a lone node keeps: it goes on until it is told to stop, and the anchor of the round that is asked for must still be there. */
const LONE_KEEP_ROUNDS = 64

function meshSpec(value: Record<string, unknown>, place: { baseDir?: string; file?: string }): MeshSpec {
  const corpus = isMapping(value.data) ? value.data.corpus : undefined
  // Private is what a description that says nothing means.
  return { spec: value, ...place, isPrivate: corpus === undefined || corpus === 'private', name: String(value.name ?? 'run') }
}

function changed(value: Record<string, unknown>, { seed, set }: Pick<Scenario, 'seed' | 'set'>): Record<string, unknown> {
  const copy = structuredClone(value)
  for (const [path, replacement] of Object.entries({ ...(seed === null ? {} : { seed }), ...set })) {
    const keys = path.split('.')
    let place = copy
    for (const key of keys.slice(0, -1)) {
      // A path may make mappings that are not there; the daemon says whether the names exist. __proto__ would change every object.
      if (key === '__proto__') throw new CliError('bad_scenario', `cannot set ${path}: no setting has that name`)
      const next = Object.hasOwn(place, key) ? place[key] : undefined
      const inner = isMapping(next) ? next : {}
      place[key] = inner
      place = inner
    }
    place[keys.at(-1)!] = replacement
  }
  return copy
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
