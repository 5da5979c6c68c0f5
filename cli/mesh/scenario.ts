// What a mesh run is told to do: a small YAML document, checked whole before anything is started. Flags win over the file.
// Pure: text in, a scenario or a CliError `bad_scenario` out.
import { isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { ENGINE_NAMES, nestsTooDeep } from '../../daemon/index.ts'
import { CliError } from '../errors.ts'
import { type Fail, integer, list, mapping, milliseconds, oneOf } from './checked-values.ts'
import { type Expectation, readExpectation } from './expectations.ts'
import { checkSteps, MAX_NODES, MAX_ROUNDS, readStep, type Step, stepsUntil } from './steps.ts'

export interface Scenario {
  /** Nodes at the start, indexes 1 to `nodes`. */
  nodes: number
  /** `demo`, or the path of a manifest. */
  run: string
  /** The mesh is done when a live node has adopted this record; the first after the genesis is 1. */
  rounds: number
  /** Milliseconds for the whole command. */
  timeoutMs: number
  /** Replaces the manifest's seed. */
  seed: number | null
  /** Also train each shard alone for as many steps. */
  baseline: boolean
  /** Inner rates at which the lone nodes train, and one on all shards beside them; null: the manifest's rate, and none on all. */
  baselineRates: number[] | null
  /** Settings of the manifest to replace, by dotted path. */
  set: Record<string, unknown>
  /** What a node computes with, by node index; the daemon's choice where none is named. */
  engines: Record<number, string>
  /** `namespaces`: each node has an address of its own in a network that can be parted and slowed (Linux). */
  network: (typeof NETWORKS)[number]
  /** Milliseconds between two samples of each daemon's memory, garbage collected first; null: none are taken. */
  memoryEveryMs: number | null
  /** Milliseconds that nodes may take to agree after the end. */
  settleMs: number
  steps: Step[]
  /** Steps for which a last round that a flag brought forward leaves no time. */
  stepsLeftOut: Step[]
  expect: Expectation[]
}

/** What the command line gives; each wins over the file. */
export interface ScenarioFlags {
  nodes?: number
  rounds?: number
  seed?: number
  timeoutMs?: number
  baseline?: boolean
  /** Checked here, as the file's are. Rates mean a baseline. */
  baselineRates?: unknown[]
  run?: string
  set?: Record<string, unknown>
  /** By node index; each replaces the file's for that node. */
  engines?: Record<string, string>
}

const DEFAULT_TIMEOUT_MS = 600_000
/** Each rate is a training of every shard, and one more. */
const MAX_RATES = 8
/** The manifest's own limit: a rate that it refuses must not come to light when the mesh has trained already. */
const MAX_RATE = 10

const NETWORKS = ['loopback', 'namespaces'] as const
/** Milliseconds that nodes may take to agree after the last round unless the scenario says otherwise. */
const DEFAULT_SETTLE_MS = 30_000

const KEYS = [
  ...['nodes', 'run', 'rounds', 'timeout', 'settle', 'seed', 'baseline', 'baselineRates'],
  ...['set', 'engines', 'network', 'memory', 'steps', 'expect']
]

/**
 * Reads a scenario's text.
 * @param name what the file is called in errors.
 * @throws CliError `bad_scenario` with the line and, for unknown names, the nearest known one.
 */
export function parseScenario(text: string, flags: ScenarioFlags = {}, name = 'scenario'): Scenario {
  if (nestsTooDeep(text))
    throw new CliError('bad_scenario', `cannot read ${name}: it nests too deep`, { hint: 'the file must be a scenario' })
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  const lineOf = (path: string): string => {
    const keys = path.split(/[.[\]]/).filter(part => part !== '')
    for (let depth = keys.length; depth > 0; depth--) {
      const node = document.getIn(keys.slice(0, depth), true)
      if (isNode(node) && node.range != null) return `:${lines.linePos(node.range[0]).line}`
    }
    return ''
  }
  const fail: Fail = (path, what, want) => {
    throw new CliError('bad_scenario', `cannot read ${name}${lineOf(path)}: ${path} ${what}`, { hint: want })
  }

  const syntax = document.errors[0]
  if (syntax !== undefined) {
    const line = syntax.linePos?.[0].line
    throw new CliError('bad_scenario', `cannot read ${name}${line === undefined ? '' : `:${line}`}: ${syntax.message.split('\n')[0]}`, {
      hint: 'the file must be YAML'
    })
  }
  if (document.contents !== null && !isMap(document.contents)) {
    throw new CliError('bad_scenario', `cannot read ${name}: the document is not a mapping`, { hint: `its keys are ${KEYS.join(', ')}` })
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new CliError('bad_scenario', `cannot read ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return readScenario(value ?? {}, flags, fail)
}

/** The same for a scenario that is already a plain value. */
export function scenarioOf(value: unknown, flags: ScenarioFlags = {}, name = 'scenario'): Scenario {
  return readScenario(value, flags, (path, what, want) => {
    throw new CliError('bad_scenario', `cannot read ${name}: ${path} ${what}`, { hint: want })
  })
}

function readScenario(value: unknown, flags: ScenarioFlags, fail: Fail): Scenario {
  const map = mapping(value, 'scenario', KEYS, fail)
  const nodes = flags.nodes ?? integer(map.nodes ?? 4, 'nodes', 1, MAX_NODES, fail)
  const rounds = flags.rounds ?? integer(map.rounds ?? 10, 'rounds', 1, MAX_ROUNDS, fail)
  const run = flags.run ?? map.run ?? 'demo'
  if (typeof run !== 'string' || run === '') fail('run', `is ${JSON.stringify(run)}`, 'want demo, or the path of a manifest')
  const baselineRates =
    flags.baselineRates === undefined
      ? readRates(map.baselineRates, 'baselineRates', fail)
      : readRates(flags.baselineRates, '--baseline-rates', fail)
  const baseline = baselineRates !== null || (flags.baseline ?? map.baseline ?? false)
  if (typeof baseline !== 'boolean') fail('baseline', `is ${JSON.stringify(baseline)}`, 'want true or false')
  const seed = flags.seed ?? (map.seed === undefined ? null : integer(map.seed, 'seed', 0, 0xffff_ffff, fail))
  const set = map.set ?? {}
  if (typeof set !== 'object' || Array.isArray(set))
    fail('set', 'is not a mapping', 'want settings by dotted path, as { optimizer.learningRate: 3e-3 }')

  const steps = list(map.steps, 'steps', fail).map((step, index) => readStep(step, `steps[${index}]`, fail))
  const expect = list(map.expect, 'expect', fail).map((entry, index) => readExpectation(entry, `expect[${index}]`, fail))
  const isMissing = (name: Expectation['name'], is: boolean, what: string, want: string): void => {
    const at = expect.findIndex(entry => entry.name === name)
    if (!is && at !== -1) fail(`expect[${at}]`, what, want)
  }
  const memoryEveryMs = map.memory === undefined || map.memory === null ? null : milliseconds(map.memory, 'memory', fail)
  isMissing('memoryGrowthBelow', memoryEveryMs !== null, 'needs samples of memory', 'add memory: 10s')
  isMissing('meshBelowAlone', baseline === true, 'needs the lone nodes', 'add baseline: true, or --baseline')
  const network = oneOf(map.network ?? 'loopback', 'network', NETWORKS, fail)
  const joined = new Set(steps.map(step => (step.do === 'join' ? step.node : undefined)))
  const isStarted = (node: number): boolean => node <= nodes || joined.has(node)
  const engines = {
    ...readEngines(map.engines, { path: 'engines', isStarted, nodes }, fail),
    ...readEngines(flags.engines, { path: '--engine', isStarted, nodes }, fail)
  }
  const last = flags.rounds === undefined ? rounds : Number.POSITIVE_INFINITY
  checkSteps(steps, { nodes, rounds: last, namespaces: network === 'namespaces' }, fail)
  const kept = stepsUntil(rounds, steps)
  return {
    nodes,
    run: run as string,
    rounds,
    timeoutMs: flags.timeoutMs ?? (map.timeout === undefined ? DEFAULT_TIMEOUT_MS : milliseconds(map.timeout, 'timeout', fail)),
    seed,
    baseline: baseline as boolean,
    baselineRates,
    set: { ...(set as Record<string, unknown>), ...flags.set },
    engines,
    network,
    memoryEveryMs,
    settleMs: map.settle === undefined ? DEFAULT_SETTLE_MS : milliseconds(map.settle, 'settle', fail),
    steps: kept,
    stepsLeftOut: steps.filter(step => !kept.includes(step)),
    expect
  }
}

function readRates(value: unknown, path: string, fail: Fail): number[] | null {
  if (value === undefined || value === null) return null
  const rates = list(value, path, fail)
  const want = `want 1 to ${MAX_RATES} different rates above 0 and up to ${MAX_RATE}, as 2e-3, 5e-3`
  if (rates.length === 0 || rates.length > MAX_RATES) fail(path, `has ${rates.length} rates`, want)
  for (const [index, rate] of rates.entries()) {
    if (typeof rate !== 'number' || !(rate > 0 && rate <= MAX_RATE)) fail(path, `has the rate ${String(rate)}`, want)
    if (rates.indexOf(rate) !== index) fail(path, `has the rate ${rate} twice`, want)
  }
  return rates as number[]
}

/** Whether an engine works on this machine the node says that is to use it; whether there is one of this name must not come to light when all are up. */
function readEngines(
  value: unknown,
  { path, nodes, isStarted }: { path: 'engines' | '--engine'; nodes: number; isStarted(node: number): boolean },
  fail: Fail
): Record<number, string> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) fail(path, 'is not a mapping', 'want engines by node, as { 2: wasm }')
  const engines: Record<number, string> = {}
  for (const [node, engine] of Object.entries(value as object)) {
    const at = path === 'engines' ? `engines.${node}` : `--engine ${node}=${engine}`
    const index = /^[1-9]\d*$/.test(node) ? Number(node) : Number.NaN
    integer(index, at, 1, MAX_NODES, (_path, _what, want) => fail(at, 'names no node', want))
    engines[index] = oneOf(engine, at, ['auto', ...ENGINE_NAMES], fail)
    if (!isStarted(index)) fail(at, 'names a node that never starts', `nodes is ${nodes}`)
  }
  return engines
}
