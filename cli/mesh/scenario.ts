// What a mesh run is told to do: a small YAML document, checked whole before anything is started. Flags win over the file.
// Pure: text in, a scenario or a CliError `bad_scenario` out.
import { isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { ENGINE_NAMES, nestsTooDeep } from '../../daemon/index.ts'
import { PHASES, type Phase } from '../../protocols/control/constants.ts'
import { parseDuration } from '../duration.ts'
import { CliError } from '../errors.ts'
import { nearestName } from '../nearest.ts'

/** kill: SIGKILL. stop: SIGSTOP. continue: SIGCONT. restart: start again from the same home. leave: leave the run and stop cleanly. join: start a new node. */
export const ACTIONS = ['kill', 'stop', 'continue', 'restart', 'leave', 'join'] as const
export type Action = (typeof ACTIONS)[number]

/** An index, from 1; or the first in rank to close the round in which the scenario looks for it, and from then on that node. */
export type NodeName = number | typeof CLOSER
const CLOSER = 'closer'

/** When a step is due. */
export type Trigger =
  /** Any live node has adopted this record. */
  | { kind: 'round'; round: number }
  /** `node` is in `phase` for the first time from `round` on, the closer in `round` itself; it is held there. */
  | { kind: 'phase'; phase: Phase; round: number; node: NodeName }
  /** `node` says that its run waits for something. */
  | { kind: 'waiting'; node: number }

export interface Step {
  at: Trigger
  do: Action
  node: NodeName
}

export type Expectation =
  /** All nodes that are alive and have not left hold the same head. */
  | { name: 'equalAnchors' }
  /** Nats per UTF-8 byte on the held-out text, of the final anchor, below `limit`. */
  | { name: 'heldOutBelow'; limit: number }
  /** The same below that of every lone node; needs the baseline. */
  | { name: 'meshBelowAlone' }

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
  steps: Step[]
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

/** More daemons than this on one machine is a typing error rather than a wish. */
const MAX_NODES = 256
const MAX_ROUNDS = 1_000_000
const DEFAULT_TIMEOUT_MS = 600_000
/** Each rate is a training of every shard, and one more. */
const MAX_RATES = 8
/** The manifest's own limit: a rate that it refuses must not come to light when the mesh has trained already. */
const MAX_RATE = 10

const KEYS = ['nodes', 'run', 'rounds', 'timeout', 'seed', 'baseline', 'baselineRates', 'set', 'engines', 'steps', 'expect']
const EXPECTATIONS: Record<Expectation['name'], (argument: unknown, path: string, fail: Fail) => Expectation> = {
  equalAnchors: (argument, path, fail) =>
    argument === undefined ? { name: 'equalAnchors' } : fail(path, 'is given a value', 'equalAnchors takes none'),
  meshBelowAlone: (argument, path, fail) =>
    argument === undefined ? { name: 'meshBelowAlone' } : fail(path, 'is given a value', 'meshBelowAlone takes none'),
  heldOutBelow: (argument, path, fail) =>
    typeof argument === 'number' && argument > 0
      ? { name: 'heldOutBelow', limit: argument }
      : fail(
          path,
          `is ${JSON.stringify(argument) ?? 'without a value'}`,
          'want a number of nats per byte above 0, as { heldOutBelow: 2.5 }'
        )
}

type Fail = (path: string, what: string, want: string) => never

/**
 * Reads a scenario's text.
 * @param name what the file is called in errors.
 * @throws CliError `bad_scenario` with the line and, for unknown names, the nearest known one.
 */
export function parseScenario(text: string, flags: ScenarioFlags = {}, name = 'scenario'): Scenario {
  if (nestsTooDeep(text)) throw new CliError('bad_scenario', `read ${name}: it nests too deep`, { hint: 'the file must be a scenario' })
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
    throw new CliError('bad_scenario', `read ${name}${lineOf(path)}: ${path} ${what}`, { hint: want })
  }

  const syntax = document.errors[0]
  if (syntax !== undefined) {
    const line = syntax.linePos?.[0].line
    throw new CliError('bad_scenario', `read ${name}${line === undefined ? '' : `:${line}`}: ${syntax.message.split('\n')[0]}`, {
      hint: 'the file must be YAML'
    })
  }
  if (document.contents !== null && !isMap(document.contents)) {
    throw new CliError('bad_scenario', `read ${name}: the document is not a mapping`, { hint: `its keys are ${KEYS.join(', ')}` })
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new CliError('bad_scenario', `read ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return readScenario(value ?? {}, flags, fail)
}

/** The same for a scenario that is already a plain value. */
export function scenarioOf(value: unknown, flags: ScenarioFlags = {}, name = 'scenario'): Scenario {
  return readScenario(value, flags, (path, what, want) => {
    throw new CliError('bad_scenario', `read ${name}: ${path} ${what}`, { hint: want })
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
  if (!baseline) {
    const lone = expect.findIndex(entry => entry.name === 'meshBelowAlone')
    if (lone !== -1) fail(`expect[${lone}]`, 'needs the lone nodes', 'add baseline: true, or --baseline')
  }
  const joined = new Set(steps.filter(step => step.do === 'join').map(({ node }) => node))
  const isStarted = (node: number): boolean => node <= nodes || joined.has(node)
  const engines = {
    ...readEngines(map.engines, { path: 'engines', isStarted, nodes }, fail),
    ...readEngines(flags.engines, { path: '--engine', isStarted, nodes }, fail)
  }
  checkSteps(steps, nodes, flags.rounds === undefined ? rounds : Number.POSITIVE_INFINITY, fail)
  return {
    nodes,
    run: run as string,
    rounds,
    timeoutMs: flags.timeoutMs ?? timeout(map.timeout, fail),
    seed,
    baseline: baseline as boolean,
    baselineRates,
    set: { ...(set as Record<string, unknown>), ...flags.set },
    engines,
    steps: stepsUntil(rounds, steps),
    expect
  }
}

function timeout(value: unknown, fail: Fail): number {
  if (value === undefined) return DEFAULT_TIMEOUT_MS
  try {
    return parseDuration(String(value))
  } catch {
    return fail('timeout', `is ${JSON.stringify(value)}`, 'want a time such as 90s or 8m')
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

function readStep(value: unknown, path: string, fail: Fail): Step {
  const map = mapping(value, path, ['at', 'do', 'node'], fail)
  const action = oneOf(map.do, `${path}.do`, ACTIONS, fail)
  const node = nodeName(map.node, `${path}.node`, fail)
  return { at: readTrigger(map.at, `${path}.at`, node, fail), do: action, node }
}

function readTrigger(value: unknown, path: string, node: NodeName, fail: Fail): Trigger {
  const map = mapping(value, path, ['round', 'phase', 'node', 'waiting'], fail)
  if (map.waiting !== undefined) {
    if (map.round !== undefined || map.phase !== undefined) fail(path, 'has waiting beside round or phase', 'give one of them')
    return { kind: 'waiting', node: integer(map.waiting, `${path}.waiting`, 1, MAX_NODES, fail) }
  }
  const round = integer(map.round, `${path}.round`, 0, MAX_ROUNDS, fail)
  if (map.phase === undefined) {
    if (map.node !== undefined) fail(`${path}.node`, 'stands without a phase', 'want { round: R }, or { phase: P, round: R, node: N }')
    return { kind: 'round', round }
  }
  const phase = oneOf(map.phase, `${path}.phase`, PHASES, fail)
  return { kind: 'phase', phase, round, node: map.node === undefined ? node : nodeName(map.node, `${path}.node`, fail) }
}

function nodeName(value: unknown, path: string, fail: Fail): NodeName {
  if (typeof value === 'string') return oneOf<typeof CLOSER>(value, path, [CLOSER], fail)
  return integer(value, path, 1, MAX_NODES, fail)
}

function readExpectation(value: unknown, path: string, fail: Fail): Expectation {
  const names = Object.keys(EXPECTATIONS)
  if (typeof value === 'string') return EXPECTATIONS[oneOf(value, path, names as Expectation['name'][], fail)](undefined, path, fail)
  const map = mapping(value, path, names, fail)
  const keys = Object.keys(map)
  if (keys.length !== 1) fail(path, `has ${keys.length} names`, `want one of ${names.join(', ')}`)
  const name = keys[0] as Expectation['name']
  return EXPECTATIONS[name](map[name], path, fail)
}

/** A step after a last round that only a flag brought forward is no error of the file: it is left out, and with it what was to follow on the same node. */
function stepsUntil(rounds: number, steps: Step[]): Step[] {
  const lost = new Set<NodeName>()
  return steps.filter(step => {
    const isKept = !lost.has(step.node) && (step.at.kind === 'waiting' || step.at.round <= rounds)
    if (!isKept) {
      lost.add(step.node)
      if (findsCloser(step)) lost.add(CLOSER)
    }
    return isKept
  })
}

function findsCloser({ at }: Step): boolean {
  return at.kind === 'phase' && at.node === CLOSER
}

type Life = 'absent' | 'alive' | 'stopped' | 'dead' | 'left'
/** In which state an action finds its node, and leaves it. */
export const AFTER: Record<Action, { from: Life[]; to: Life }> = {
  kill: { from: ['alive', 'stopped'], to: 'dead' },
  stop: { from: ['alive'], to: 'stopped' },
  continue: { from: ['stopped'], to: 'alive' },
  restart: { from: ['dead'], to: 'alive' },
  leave: { from: ['alive'], to: 'left' },
  join: { from: ['absent'], to: 'alive' }
}

/** Steps of one node happen in the order of the file, so what each finds is known beforehand. */
function checkSteps(steps: Step[], nodes: number, rounds: number, fail: Fail): void {
  const life = new Map<NodeName, Life>()
  const lifeOf = (node: NodeName): Life => life.get(node) ?? (node === CLOSER || node <= nodes ? 'alive' : 'absent')
  let isCloserFound = false
  const isCloserSought = steps.some(findsCloser)
  for (const [index, step] of steps.entries()) {
    const path = `steps[${index}]`
    if (findsCloser(step)) {
      if (isCloserFound)
        fail(`${path}.at`, 'looks for the closer again', 'one step finds the closer; node: closer in later ones is the same node')
      isCloserFound = true
    } else if (step.at.kind === 'phase' && isCloserSought) {
      // A node holds itself in one phase: held in its own, it would not hold as the closer that it may be.
      fail(
        `${path}.at`,
        `holds node ${step.at.node} in a phase, and another step looks for the closer`,
        'name the closer, or nodes by index'
      )
    } else if (step.node === CLOSER && !isCloserFound) {
      fail(`${path}.node`, 'is closer, and no step has found it by then', 'want at: { phase: P, round: R, node: closer } first')
    }
    const before = lifeOf(step.node)
    const { from, to } = AFTER[step.do]
    if (!from.includes(before)) {
      const want = step.do === 'join' ? `join takes a new index, above ${nodes}` : `${step.do} needs a node that is ${from.join(' or ')}`
      fail(`${path}.node`, `is ${step.node}, and that node is ${before} by then`, want)
    }
    if (step.at.kind !== 'waiting' && step.at.round > rounds) {
      fail(`${path}.at.round`, `is ${step.at.round}, after the last round`, `rounds is ${rounds}`)
    }
    if (step.at.kind !== 'round' && step.at.node !== step.node && lifeOf(step.at.node) !== 'alive') {
      fail(`${path}.at`, `names node ${step.at.node}, and that node is ${lifeOf(step.at.node)} by then`, 'name a node that is alive')
    }
    life.set(step.node, to)
  }
}

function mapping(value: unknown, path: string, keys: string[], fail: Fail): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    fail(path, value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`, `want a mapping with ${keys.join(', ')}`)
  }
  for (const key of Object.keys(value as object)) {
    if (keys.includes(key)) continue
    const nearest = nearestName(key, keys)
    const at = path === 'scenario' ? key : `${path}.${key}`
    fail(at, 'is not a known key', nearest === undefined ? `the keys are ${keys.join(', ')}` : `did you mean ${nearest}?`)
  }
  return value as Record<string, unknown>
}

function list(value: unknown, path: string, fail: Fail): unknown[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : fail(path, `is ${JSON.stringify(value)}`, 'want a list')
}

function integer(value: unknown, path: string, least: number, most: number, fail: Fail): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    fail(path, value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`, `want a whole number from ${least} to ${most}`)
  }
  return value as number
}

function oneOf<const Name extends string>(value: unknown, path: string, names: readonly Name[], fail: Fail): Name {
  if (typeof value === 'string' && (names as readonly string[]).includes(value)) return value as Name
  const nearest = typeof value === 'string' ? nearestName(value, names) : undefined
  return fail(
    path,
    value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`,
    nearest === undefined ? `want one of ${names.join(', ')}` : `did you mean ${nearest}?`
  )
}
