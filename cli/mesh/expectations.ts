// What a scenario may expect: read from it, and judged from what the run left. Pure.
import { type Fail, integer, list, mapping, milliseconds, oneOf } from './checked-values.ts'
import type { Contributions } from './measures/fates.ts'
import type { Gap } from './measures/gaps.ts'
import type { Ghost } from './measures/ghosts.ts'
import { growthOf, type NodeMemory } from './measures/memory.ts'
import type { ReportExpectation, ReportHeldOut } from './report.ts'
import { MAX_NODES, type Step } from './steps.ts'

export type Expectation =
  /** All nodes that are alive and have not left hold the same head. */
  | { name: 'equalAnchors' }
  /** Nats per UTF-8 byte on the held-out text, of the final anchor, below `limit`. */
  | { name: 'heldOutBelow'; limit: number }
  /** The same below that of every lone node; needs the baseline. */
  | { name: 'meshBelowAlone' }
  /** From the first step on no node that nothing was done to waits longer from one record to the next: `ms`, or the run's deadline, so many graces and its fetch timeout. */
  | { name: 'roundsWithin'; ms: number | null; graces: number }
  /** Of every node that is alive at the end: each contribution that it offered is in a record, or the node says that it has its work again; and some were offered. */
  | { name: 'nothingLost' }
  /** So long after its death at the latest no live node lists a peer or member that is gone: each was seen to go, and some went. */
  | { name: 'ghostsWithin'; ms: number }
  /** Resident memory of the daemons that live from beginning to end grows by less, from `afterMs` on. */
  | { name: 'memoryGrowthBelow'; megabytesAnHour: number; afterMs: number }
  /** Events with these codes, by the node that told them; `2|6` for one of the two, where chance says which. */
  | { name: 'tells'; codes: Record<string, string[]> }

type Readers = { [Name in Expectation['name']]: (argument: unknown, path: string, fail: Fail) => Expectation & { name: Name } }

const without =
  <Name extends 'equalAnchors' | 'meshBelowAlone' | 'nothingLost'>(name: Name) =>
  (argument: unknown, path: string, fail: Fail): { name: Name } =>
    argument === undefined ? { name } : fail(path, 'is given a value', `${name} takes none`)

const READERS: Readers = {
  equalAnchors: without('equalAnchors'),
  meshBelowAlone: without('meshBelowAlone'),
  nothingLost: without('nothingLost'),
  heldOutBelow: (argument, path, fail) =>
    typeof argument === 'number' && argument > 0
      ? { name: 'heldOutBelow', limit: argument }
      : fail(
          path,
          `is ${JSON.stringify(argument) ?? 'without a value'}`,
          'want a number of nats per byte above 0, as { heldOutBelow: 2.5 }'
        ),
  roundsWithin: (argument, path, fail) => {
    if (argument !== undefined && (typeof argument !== 'object' || argument === null))
      return { name: 'roundsWithin', ms: milliseconds(argument, path, fail), graces: 0 }
    const { graces } = mapping(argument ?? {}, path, ['graces'], fail)
    return { name: 'roundsWithin', ms: null, graces: integer(graces ?? 1, `${path}.graces`, 0, MAX_NODES, fail) }
  },
  ghostsWithin: (argument, path, fail) => ({ name: 'ghostsWithin', ms: milliseconds(argument, path, fail) }),
  memoryGrowthBelow: (argument, path, fail) => {
    const { megabytesAnHour, after } = mapping(argument, path, ['megabytesAnHour', 'after'], fail)
    if (typeof megabytesAnHour !== 'number' || !(megabytesAnHour > 0))
      fail(`${path}.megabytesAnHour`, `is ${JSON.stringify(megabytesAnHour) ?? 'missing'}`, 'want a number above 0')
    const afterMs = after === undefined ? 0 : milliseconds(after, `${path}.after`, fail)
    return { name: 'memoryGrowthBelow', megabytesAnHour: megabytesAnHour as number, afterMs }
  },
  tells: (argument, path, fail) => {
    if (typeof argument !== 'object' || argument === null || Array.isArray(argument) || Object.keys(argument).length === 0)
      return fail(path, `is ${JSON.stringify(argument) ?? 'without a value'}`, 'want codes by node, as { tells: { 5: [disk_full] } }')
    const codes: Record<string, string[]> = {}
    for (const [node, given] of Object.entries(argument)) {
      for (const index of node.split('|')) integer(/^[1-9]\d*$/.test(index) ? Number(index) : index, `${path}.${node}`, 1, MAX_NODES, fail)
      const wanted = list(given, `${path}.${node}`, fail)
      if (wanted.length === 0) fail(`${path}.${node}`, 'names no code', 'want codes, as [disk_full]')
      codes[node] = wanted.map(code =>
        typeof code === 'string' ? code : fail(`${path}.${node}`, `has ${JSON.stringify(code)}`, 'want codes, as [disk_full]')
      )
    }
    return { name: 'tells', codes }
  }
}

export function readExpectation(value: unknown, path: string, fail: Fail): Expectation {
  const names = Object.keys(READERS) as Expectation['name'][]
  if (typeof value === 'string') return READERS[oneOf(value, path, names, fail)](undefined, path, fail)
  const map = mapping(value, path, names, fail)
  const keys = Object.keys(map)
  if (keys.length !== 1) fail(path, `has ${keys.length} names`, `want one of ${names.join(', ')}`)
  const name = keys[0] as Expectation['name']
  return READERS[name](map[name], path, fail)
}

/** Times of the run's manifest that bound a round, ms. */
export interface RoundTimes {
  deadlineMs: number
  graceMs: number
  fetchTimeoutMs: number
}

export interface Outcome {
  /** Heads of the nodes that are alive and have not left, by index, after the time to settle. */
  heads: { index: number; head: string | null; anchor: string | null }[]
  heldOut: ReportHeldOut | null
  /** Steps that were never due. */
  stepsLeft: Step[]
  /** The longest wait from one record to the next on each node that nothing was done to. */
  gaps: Gap[]
  times: RoundTimes | null
  /** Of the nodes that are alive. */
  contributions: Contributions
  ghosts: Ghost[]
  /** How often a node was killed, or left. */
  deaths: number
  memory: NodeMemory[]
  /** Codes of the events of each node, by index. */
  told: Map<number, Set<string>>
}

/** One row for each expectation, and one for steps that never came: a scenario whose fault did not happen has shown nothing. */
export function judgeExpectations(expect: Expectation[], outcome: Outcome): ReportExpectation[] {
  const rows = expect.map(expectation => judge(expectation, outcome))
  if (outcome.stepsLeft.length > 0) {
    rows.push({ name: 'stepsDone', ok: false, got: outcome.stepsLeft.map(step => ({ ...step })), want: 'every step done' })
  }
  return rows
}

function judge(expectation: Expectation, outcome: Outcome): ReportExpectation {
  const { heads, heldOut, gaps, times, contributions, ghosts, deaths, told } = outcome
  const row = (ok: boolean, got: unknown, want: unknown): ReportExpectation => ({ name: expectation.name, ok, got, want })
  switch (expectation.name) {
    case 'equalAnchors': {
      const known = heads.map(({ head, anchor }) => (head === null || anchor === null ? null : `${head} ${anchor}`))
      const ok = known.length > 0 && known[0] !== null && known.every(text => text === known[0])
      return row(ok, Object.fromEntries(heads.map(({ index, anchor }) => [index, anchor])), 'one head')
    }
    case 'heldOutBelow': {
      const got = heldOut?.mesh ?? null
      return row(got !== null && got < expectation.limit, got, expectation.limit)
    }
    case 'meshBelowAlone': {
      const got = heldOut?.mesh ?? null
      const want = heldOut?.alone == null ? null : Math.min(...heldOut.alone)
      return row(got !== null && want !== null && got < want, got, want)
    }
    case 'roundsWithin': {
      const { ms, graces } = expectation
      const limitMs = ms ?? (times === null ? null : times.deadlineMs + graces * times.graceMs + times.fetchTimeoutMs)
      const longest = gaps.reduce<Gap | null>((worst, gap) => (worst === null || gap.seconds > worst.seconds ? gap : worst), null)
      return row(longest !== null && limitMs !== null && longest.seconds * 1000 <= limitMs, longest, {
        seconds: limitMs === null ? null : limitMs / 1000
      })
    }
    case 'nothingLost':
      return row(
        contributions.offered > 0 && contributions.lost.length === 0,
        contributions,
        'every offered contribution in a record, or its work again in the local model'
      )
    case 'ghostsWithin': {
      // Of one that was never seen to go nobody knows how long it stayed.
      const late = ghosts.filter(({ seconds, isListed }) => seconds * 1000 > expectation.ms || isListed)
      return row(deaths > 0 && late.length === 0, deaths > 0 ? late : 'no node died', { seconds: expectation.ms / 1000 })
    }
    case 'memoryGrowthBelow':
      return judgeMemory(expectation, outcome)
    case 'tells': {
      const missing = Object.entries(expectation.codes).flatMap(([node, codes]) =>
        codes.filter(code => !node.split('|').some(index => told.get(Number(index))?.has(code))).map(code => ({ node, code }))
      )
      return row(missing.length === 0, { missing }, expectation.codes)
    }
  }
}

/** Holds where the growth is below the limit; how sure that is stands beside it. */
function judgeMemory(expectation: Expectation & { name: 'memoryGrowthBelow' }, { memory }: Outcome): ReportExpectation {
  const got = memory.map(({ index, samples }) => ({ index, ...growthOf(samples, expectation.afterMs)?.resident }))
  const ok = got.length > 0 && got.every(({ megabytesAnHour }) => (megabytesAnHour ?? Number.NaN) < expectation.megabytesAnHour)
  return { name: expectation.name, ok, got, want: { megabytesAnHour: expectation.megabytesAnHour } }
}
