// The report of a mesh run: one JSON document, written whatever happened.

/** One adopted round. */
export interface ReportRound {
  round: number
  record: string
  anchor: string
  /** Peer ids. */
  contributors: string[]
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
  do: string
  node: number
  /** The phase it was held in, or that it was last seen in. */
  phase: string | null
  /** The newest round of the mesh at that time. */
  round: number
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
    checkpoint: null
  }
}

/** Rounds to a tenth of a second: more digits say nothing. */
export function tenths(seconds: number): number {
  return Math.round(seconds * 10) / 10
}
