// The steps of a scenario: what may be done to a mesh, to which node, when, and whether it can happen in that order. Pure.
import { PHASES, type Phase } from '../../protocols/control/constants.ts'
import { bitsPerSecond, type Fail, integer, list, mapping, milliseconds, oneOf, range } from './checked-values.ts'

/** kill: SIGKILL. stop: SIGSTOP. continue: SIGCONT. restart: start again from the same home. leave: leave the run and stop cleanly. join: start a new node. */
const LIFE_ACTIONS = ['kill', 'stop', 'continue', 'restart', 'leave', 'join'] as const
export type LifeAction = (typeof LIFE_ACTIONS)[number]
/** fillDisk: not one byte is left on the node's disk. freeDisk: all of it again. */
const DISK_ACTIONS = ['fillDisk', 'freeDisk'] as const
const ACTIONS = [
  ...LIFE_ACTIONS,
  ...DISK_ACTIONS,
  'corruptBlock',
  'slow',
  'partition',
  'heal',
  'killAll',
  'restartAll',
  'storm',
  'wait'
] as const

/** An index, from 1; or the first in rank to close the round in which the scenario looks for it, and from then on that node. */
export type NodeName = number | typeof CLOSER
const CLOSER = 'closer'

/** When a step is due. */
export type Trigger =
  /** `node` has adopted this record; without one, any live node has. */
  | { kind: 'round'; round: number; node: number | null }
  /** `node` is in `phase` for the first time from `round` on, the closer in `round` itself; it is held there. */
  | { kind: 'phase'; phase: Phase; round: number; node: NodeName }
  /** `node` says that its run waits for something. */
  | { kind: 'waiting'; node: number }
  /** So long after the step before it in the file was done; the first step: after the run was there. */
  | { kind: 'after'; ms: number }

/** What is done to one node. */
export type NodeDeed =
  | { do: LifeAction; node: NodeName }
  | { do: (typeof DISK_ACTIONS)[number]; node: NodeName }
  /** Flips a byte on its disk: `anchor`, the root block of the anchor it is on; `newest`, the largest of the blocks written last. */
  | { do: 'corruptBlock'; node: NodeName; block: (typeof BLOCKS)[number] }
  /** Limits what it sends and what it receives, each; null: no more. */
  | { do: 'slow'; node: NodeName; bitsPerSecond: number | null }

/** What is done to the mesh. Each waits for all steps before it in the file, and all after it wait for it. */
export type MeshDeed =
  /** Nodes of one group hear nothing from those of another; `oneWay`: packets are dropped at the first group only. One in no group hears and is heard by all. */
  | { do: 'partition'; groups: number[][]; oneWay: boolean }
  | { do: 'heal' }
  /** Nothing, so that the mesh goes on until then. */
  | { do: 'wait' }
  /** SIGKILL for all that live. */
  | { do: 'killAll' }
  /** All that are dead start again. */
  | { do: 'restartAll' }
  | { do: 'storm'; storm: Storm }

/** Random kills, the same for the same seed as far as the nodes' lives are. */
export interface Storm {
  everyMs: number
  /** How many at a time. */
  kills: { least: number; most: number }
  /** No kill after this long; the storm is over when all that it took are replaced. */
  forMs: number
  /** From the kill to the start of what comes back. */
  restartAfterMs: number
  /** What comes back: the same node, a new one instead of it, or either. */
  back: (typeof BACK)[number]
  seed: number
  /** Nodes that it leaves alone. */
  spare: number[]
}

export type Step = { at: Trigger } & (NodeDeed | MeshDeed)

const BLOCKS = ['anchor', 'newest'] as const
const BACK = ['same', 'new', 'either'] as const

export type Life = 'absent' | 'alive' | 'stopped' | 'dead' | 'left'

/** In which state an action finds its node, and leaves it where it changes that. */
const AFTER: Record<NodeDeed['do'], { from: Life[]; to?: Life }> = {
  kill: { from: ['alive', 'stopped'], to: 'dead' },
  stop: { from: ['alive'], to: 'stopped' },
  continue: { from: ['stopped'], to: 'alive' },
  restart: { from: ['dead'], to: 'alive' },
  leave: { from: ['alive'], to: 'left' },
  join: { from: ['absent'], to: 'alive' },
  fillDisk: { from: ['alive', 'stopped', 'dead'] },
  freeDisk: { from: ['alive', 'stopped', 'dead'] },
  corruptBlock: { from: ['alive', 'stopped', 'dead'] },
  slow: { from: ['alive', 'stopped', 'dead'] }
}

/** Whether a step of this kind may be done to a node in this state. */
export function finds(action: NodeDeed['do'], life: string): boolean {
  return AFTER[action].from.some(from => from === life)
}

/** The node of a step that has one. */
export function nodeOf(step: Step): NodeName | undefined {
  return 'node' in step ? step.node : undefined
}

/** More daemons than this on one machine is a typing error rather than a wish. */
export const MAX_NODES = 256
export const MAX_ROUNDS = 1_000_000

const KEYS: Record<Step['do'], string[]> = {
  ...({ kill: ['node'], stop: ['node'], continue: ['node'], restart: ['node'], leave: ['node'], join: ['node'] } as const),
  fillDisk: ['node'],
  freeDisk: ['node'],
  corruptBlock: ['node', 'block'],
  slow: ['node', 'rate'],
  partition: ['groups', 'oneWay'],
  heal: [],
  wait: [],
  killAll: [],
  restartAll: [],
  storm: ['every', 'kills', 'for', 'restartAfter', 'back', 'seed', 'spare']
}

export function readStep(value: unknown, path: string, fail: Fail): Step {
  const known = [...new Set(Object.values(KEYS).flat())]
  const action = oneOf(mapping(value, path, ['at', 'do', ...known], fail).do, `${path}.do`, ACTIONS, fail)
  const map = mapping(value, path, ['at', 'do', ...KEYS[action]], fail)
  const deed = readDeed(action, map, path, fail)
  return { at: readTrigger(map.at, `${path}.at`, 'node' in deed ? deed.node : undefined, fail), ...deed }
}

function readDeed(action: Step['do'], map: Record<string, unknown>, path: string, fail: Fail): NodeDeed | MeshDeed {
  switch (action) {
    case 'partition':
      return { do: action, ...readPartition(map, path, fail) }
    case 'heal':
    case 'wait':
    case 'killAll':
    case 'restartAll':
      return { do: action }
    case 'storm':
      return { do: action, storm: readStorm(map, path, fail) }
    case 'slow':
      return {
        do: action,
        node: nodeName(map.node, `${path}.node`, fail),
        bitsPerSecond: bitsPerSecond(map.rate, `${path}.rate`, fail)
      }
    case 'corruptBlock':
      return {
        do: action,
        node: nodeName(map.node, `${path}.node`, fail),
        block: oneOf(map.block ?? 'anchor', `${path}.block`, BLOCKS, fail)
      }
    default:
      return { do: action, node: nodeName(map.node, `${path}.node`, fail) }
  }
}

function readPartition(map: Record<string, unknown>, path: string, fail: Fail): { groups: number[][]; oneWay: boolean } {
  const want = 'want two groups of nodes or more, as [[1, 2], [3, 4]]'
  const groups = list(map.groups, `${path}.groups`, fail).map((group, index) => {
    const at = `${path}.groups[${index}]`
    const nodes = list(group, at, fail).map((node, position) => integer(node, `${at}[${position}]`, 1, MAX_NODES, fail))
    return nodes.length > 0 ? nodes : fail(at, 'is empty', want)
  })
  if (groups.length < 2) fail(`${path}.groups`, `has ${groups.length} groups`, want)
  const all = groups.flat()
  const twice = all.find((node, index) => all.indexOf(node) !== index)
  if (twice !== undefined) fail(`${path}.groups`, `names node ${twice} twice`, want)
  const oneWay = map.oneWay ?? false
  if (typeof oneWay !== 'boolean') fail(`${path}.oneWay`, `is ${JSON.stringify(oneWay)}`, 'want true or false')
  return { groups, oneWay: oneWay as boolean }
}

function readStorm(map: Record<string, unknown>, path: string, fail: Fail): Storm {
  const spare = list(map.spare, `${path}.spare`, fail)
  return {
    everyMs: milliseconds(map.every, `${path}.every`, fail),
    kills: range(map.kills ?? 1, `${path}.kills`, MAX_NODES, fail),
    forMs: milliseconds(map.for, `${path}.for`, fail),
    restartAfterMs: milliseconds(map.restartAfter ?? '3s', `${path}.restartAfter`, fail),
    back: oneOf(map.back ?? 'same', `${path}.back`, BACK, fail),
    seed: integer(map.seed ?? 1, `${path}.seed`, 0, 0xffff_ffff, fail),
    spare: spare.map((node, index) => integer(node, `${path}.spare[${index}]`, 1, MAX_NODES, fail))
  }
}

function readTrigger(value: unknown, path: string, node: NodeName | undefined, fail: Fail): Trigger {
  const map = mapping(value, path, ['round', 'phase', 'node', 'waiting', 'after'], fail)
  const alone = (key: 'waiting' | 'after'): void => {
    const beside = Object.keys(map).find(other => other !== key)
    if (beside !== undefined) fail(path, `has ${key} beside ${beside}`, 'give one of them')
  }
  if (map.after !== undefined) {
    alone('after')
    return { kind: 'after', ms: milliseconds(map.after, `${path}.after`, fail) }
  }
  if (map.waiting !== undefined) {
    alone('waiting')
    return { kind: 'waiting', node: integer(map.waiting, `${path}.waiting`, 1, MAX_NODES, fail) }
  }
  const round = integer(map.round, `${path}.round`, 0, MAX_ROUNDS, fail)
  if (map.phase === undefined) {
    return { kind: 'round', round, node: map.node === undefined ? null : integer(map.node, `${path}.node`, 1, MAX_NODES, fail) }
  }
  const phase = oneOf(map.phase, `${path}.phase`, PHASES, fail)
  const at = map.node === undefined ? node : nodeName(map.node, `${path}.node`, fail)
  if (at === undefined) return fail(`${path}.node`, 'is missing', 'want the node that is in that phase')
  return { kind: 'phase', phase, round, node: at }
}

function nodeName(value: unknown, path: string, fail: Fail): NodeName {
  if (typeof value === 'string') return oneOf<typeof CLOSER>(value, path, [CLOSER], fail)
  return integer(value, path, 1, MAX_NODES, fail)
}

/** A step after a last round that only a flag brought forward is no error of the file: it is left out, and with it what was to follow on the same node, or at all where one waits for the other. */
export function stepsUntil(rounds: number, steps: Step[]): Step[] {
  const lost = new Set<NodeName>()
  let isEnd = false
  let wasKept = true
  return steps.filter(step => {
    const node = nodeOf(step)
    const follows = isEnd || (node === undefined ? lost.size > 0 : lost.has(node)) || (step.at.kind === 'after' && !wasKept)
    wasKept = !follows && !('round' in step.at && step.at.round > rounds)
    if (wasKept) return true
    if (node === undefined) isEnd = true
    else lost.add(node)
    if (findsCloser(step)) lost.add(CLOSER)
    return false
  })
}

function findsCloser({ at }: Step): boolean {
  return at.kind === 'phase' && at.node === CLOSER
}

/** What of a scenario decides whether its steps can happen. */
export interface Stage {
  /** Nodes at the start. */
  nodes: number
  rounds: number
  /** Each node has a network namespace of its own. */
  namespaces: boolean
}

/** Steps of one node happen in the order of the file, so what each finds is known beforehand; a storm's victims are another matter, and no step may name them. */
export function checkSteps(steps: Step[], stage: Stage, fail: Fail): void {
  const check = new StepsCheck(steps, stage, fail)
  for (const [index, step] of steps.entries()) check.step(step, `steps[${index}]`)
}

class StepsCheck {
  readonly #stage: Stage
  readonly #fail: Fail
  readonly #life = new Map<NodeName, Life>()
  readonly #full = new Set<NodeName>()
  readonly #isCloserSought: boolean
  #isCloserFound = false
  #isParted = false
  /** Nodes that the storms before leave alone, null where there was none. */
  #spared: Set<NodeName> | null = null

  constructor(steps: Step[], stage: Stage, fail: Fail) {
    this.#stage = stage
    this.#fail = fail
    this.#isCloserSought = steps.some(findsCloser)
    for (let node = 1; node <= stage.nodes; node++) this.#life.set(node, 'alive')
    this.#life.set(CLOSER, 'alive')
  }

  step(step: Step, path: string): void {
    this.#checkCloser(step, path)
    const node = nodeOf(step)
    this.#checkTrigger(step, path)
    if (node !== undefined && 'node' in step) this.#nodeStep(step, path)
    else this.#meshStep(step as MeshDeed, path)
  }

  #nodeStep(step: Step & NodeDeed, path: string): void {
    const { node } = step
    this.#checkSpared(node, `${path}.node`)
    const before = this.#lifeOf(node)
    if (!finds(step.do, before)) {
      const want =
        step.do === 'join'
          ? `join takes a new index, above ${this.#stage.nodes}`
          : `${step.do} needs a node that is ${AFTER[step.do].from.join(' or ')}`
      this.#fail(`${path}.node`, `is ${node}, and that node is ${before} by then`, want)
    }
    this.#life.set(node, AFTER[step.do].to ?? before)
    if (step.do === 'slow') this.#needNamespaces(path, 'slow')
    if (step.do === 'fillDisk' || step.do === 'freeDisk') {
      // Its disk has to be a small one from its first start.
      if (node === CLOSER) this.#fail(`${path}.node`, 'is closer', `${step.do} wants a node by its index`)
      if (step.do === 'freeDisk' && !this.#full.delete(node))
        this.#fail(`${path}.node`, `is ${node}, and that node's disk is not filled by then`, 'want fillDisk before')
      if (step.do === 'fillDisk') this.#full.add(node)
    }
  }

  #meshStep(deed: MeshDeed, path: string): void {
    switch (deed.do) {
      case 'partition':
        this.#needNamespaces(path, 'partition')
        for (const node of deed.groups.flat())
          if (this.#lifeOf(node) === 'absent')
            this.#fail(`${path}.groups`, `names node ${node}, which has not started by then`, `nodes is ${this.#stage.nodes}`)
        this.#isParted = true
        return
      case 'heal':
        if (!this.#isParted) this.#fail(path, 'heals a mesh that is not parted by then', 'want partition before')
        this.#isParted = false
        return
      case 'wait':
        return
      case 'killAll':
      case 'restartAll': {
        const from = deed.do === 'killAll' ? AFTER.kill.from : AFTER.restart.from
        const found = [...this.#life].filter(([node, life]) => node !== CLOSER && from.includes(life))
        if (found.length === 0) this.#fail(path, `finds no node that is ${from.join(' or ')}`, `${deed.do} needs one`)
        for (const [node] of found) this.#life.set(node, deed.do === 'killAll' ? 'dead' : 'alive')
        return
      }
      case 'storm':
        this.#spared = new Set(deed.storm.spare.filter(node => this.#spared === null || this.#spared.has(node)))
        for (const node of deed.storm.spare)
          if (this.#lifeOf(node) === 'absent')
            this.#fail(`${path}.spare`, `names node ${node}, which has not started by then`, `nodes is ${this.#stage.nodes}`)
        return
      default:
        deed satisfies never
    }
  }

  #checkCloser(step: Step, path: string): void {
    if (findsCloser(step)) {
      if (this.#isCloserFound)
        this.#fail(`${path}.at`, 'looks for the closer again', 'one step finds the closer; node: closer in later ones is the same node')
      this.#isCloserFound = true
    } else if (step.at.kind === 'phase' && this.#isCloserSought) {
      // A node holds itself in one phase: held in its own, it would not hold as the closer that it may be.
      this.#fail(
        `${path}.at`,
        `holds node ${step.at.node} in a phase, and another step looks for the closer`,
        'name the closer, or nodes by index'
      )
    } else if (nodeOf(step) === CLOSER && !this.#isCloserFound) {
      this.#fail(`${path}.node`, 'is closer, and no step has found it by then', 'want at: { phase: P, round: R, node: closer } first')
    }
  }

  #checkTrigger(step: Step, path: string): void {
    const { at } = step
    if ('round' in at && at.round > this.#stage.rounds)
      this.#fail(`${path}.at.round`, `is ${at.round}, after the last round`, `rounds is ${this.#stage.rounds}`)
    if (!('node' in at) || at.node === null || at.node === nodeOf(step)) return
    this.#checkSpared(at.node, `${path}.at.node`)
    if (this.#lifeOf(at.node) !== 'alive')
      this.#fail(`${path}.at`, `names node ${at.node}, and that node is ${this.#lifeOf(at.node)} by then`, 'name a node that is alive')
  }

  #checkSpared(node: NodeName, path: string): void {
    if (this.#spared === null || this.#spared.has(node) || this.#lifeOf(node) === 'absent') return
    this.#fail(path, `is ${node}, which the storm before may have killed`, 'want a node that every storm before spares')
  }

  #needNamespaces(path: string, action: string): void {
    if (!this.#stage.namespaces) this.#fail(path, `needs a network of each node's own for ${action}`, 'add network: namespaces')
  }

  #lifeOf(node: NodeName): Life {
    return this.#life.get(node) ?? 'absent'
  }
}
