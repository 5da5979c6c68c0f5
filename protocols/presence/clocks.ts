// The rule of clocks: nothing in a run depends on them, but a clock that is far off confuses people, so it is worth a warning.
import { CLOCK_SKEW_MS } from './constants.ts'

export interface ClockReport {
  /** Milliseconds by which our clock is ahead of the mesh's median; null with nobody to compare with. */
  ownAheadMs: number | null
  /** True when it is off by more than CLOCK_SKEW_MS, either way. */
  ownWrong: boolean
  /** Peers whose clocks are off by more than that, with the milliseconds that they are ahead of the median. */
  wrongPeers: { peer: string; aheadMs: number }[]
}

/**
 * Where peers are here whom a run has accepted, only these tell the time: strangers cost nothing, and a crowd of them would be the mesh's median.
 *
 * @param heard milliseconds that each other peer's clock is ahead of ours
 */
export function compareClocks(heard: { peer: string; offsetMs: number }[], isAccepted: (peer: string) => boolean): ClockReport {
  if (heard.length === 0) return { ownAheadMs: null, ownWrong: false, wrongPeers: [] }
  const accepted = heard.filter(({ peer }) => isAccepted(peer))
  const offsets = accepted.length > 0 ? accepted : heard
  // We count as one of the mesh, with an offset of 0. Of two clocks that differ nobody can say which is right: both stand half the difference off.
  const median = medianOf([0, ...offsets.map(({ offsetMs }) => offsetMs)])
  const wrongPeers = offsets
    .map(({ peer, offsetMs }) => ({ peer, aheadMs: offsetMs - median }))
    .filter(({ aheadMs }) => Math.abs(aheadMs) > CLOCK_SKEW_MS)
  const ownAheadMs = 0 - median
  return { ownAheadMs, ownWrong: Math.abs(ownAheadMs) > CLOCK_SKEW_MS, wrongPeers }
}

function medianOf(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
