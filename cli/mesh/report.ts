// The report of a mesh run: one JSON document, written whatever happened.

import type { Step } from './steps.ts'

/** One adopted round. */
export interface ReportRound {
  round: number
  record: string
  anchor: string
  /** Index of the node that closed it. */
  closer: number | null
  /** Peer ids. */
  contributors: string[]
  /** Nodes that gave nothing to it, and what each was when it was first adopted: a round that ran to its deadline waited for those that seemed alive. */
  absent: { node: number; was: 'starting' | 'alive' | 'stopped' | 'dead' | 'left' }[]
  /** What the first node said that found it slower than its deadline: whom it waited for; peers are named by index. */
  slow: string | null
  /** From the parent's adoption to this record's, on the node that was asked. */
  seconds: number | null
  /** Payload on the wire, all nodes together. */
  bytes: number
}

export interface ReportNode {
  index: number
  peer: string | null
  alive: boolean
  round: number
  anchor: string | null
  /** Tokens trained on. */
  tokens: number
  /** What its trainer last computed with, null where none did. */
  engine: string | null
  /** Payload on the wire. */
  bytesSent: number
  bytesReceived: number
  /** How often each code stood in its events. */
  told: Record<string, number>
}

/** The longest wait of a node that nothing was done to, for the next record. */
export interface ReportGap {
  node: number
  /** The newest round that it had. */
  round: number
  seconds: number
}

/** A dead node that another went on listing for so long. */
export interface ReportGhost {
  of: number
  on: number
  seconds: number
  /** Still so at the last look. */
  isListed: boolean
}

/** Megabytes an hour. */
export interface ReportGrowth {
  megabytesAnHour: number
  error: number
}

export interface ReportMemory {
  node: number
  /** Null with too few samples. */
  growth: { resident: ReportGrowth; heap: ReportGrowth; external: ReportGrowth } | null
  /** Seconds from the command's start, and megabytes resident, on the heap, and outside it. */
  samples: [number, number, number, number][]
}

export interface ReportHeldOut {
  unit: 'nats/byte'
  mesh: number
  /** One for each shard, the best of the rates where there are several; null without a baseline. */
  alone: number[] | null
  /** In the order they were given, null without any. */
  rates: ReportRate[] | null
}

/** Lone nodes at one inner rate, nats per byte. */
export interface ReportRate {
  learningRate: number
  /** One for each shard. */
  alone: number[]
  /** One node that has the text of all shards. */
  together: number
}

export interface ReportExpectation {
  name: string
  ok: boolean
  got: unknown
  want: unknown
}

export interface ReportFault {
  do: Step['do']
  /** Null where it was done to the mesh. */
  node: number | null
  /** The phase it was held in, or that it was last seen in. */
  phase: string | null
  /** The newest round of the mesh at that time. */
  round: number
  /** When it was done, from the command's start. */
  seconds: number
  /** What else there is to say: groups, a rate, the block. */
  detail: string | null
}

export interface Report {
  schema: 1
  ok: boolean
  /** Why `ok` is false. */
  reason: string | null
  /** From the command's start, as `firstRoundSeconds` is. */
  seconds: number
  firstRoundSeconds: number | null
  rounds: ReportRound[]
  nodes: ReportNode[]
  heldOut: ReportHeldOut | null
  expect: ReportExpectation[]
  faults: ReportFault[]
  /** Steps of the scenario that `--rounds` left no time for: what is expected says nothing of them. */
  stepsLeftOut: Step[]
  /** Of each node that was there from the beginning and that nothing was done to, the longest first. */
  gaps: ReportGap[]
  /** The longest first, at most a hundred. */
  ghosts: ReportGhost[]
  /** Of each daemon that lived from beginning to end; empty where no samples were asked for. */
  memory: ReportMemory[]
  /** The folder left behind. */
  checkpoint: string | null
}

/** A report of which nothing is known yet. */
export function emptyReport(): Report {
  return {
    schema: 1,
    ok: false,
    reason: null,
    seconds: 0,
    firstRoundSeconds: null,
    rounds: [],
    nodes: [],
    heldOut: null,
    expect: [],
    faults: [],
    stepsLeftOut: [],
    gaps: [],
    ghosts: [],
    memory: [],
    checkpoint: null
  }
}

/** Rounds to a tenth of a second: more digits say nothing. */
export function tenths(seconds: number): number {
  return Math.round(seconds * 10) / 10
}
