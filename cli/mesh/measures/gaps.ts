// How long a node waited from one record to the next. Pure.

/** The longest wait of one node. */
export interface Gap {
  node: number
  /** The newest round that it had when it began to wait. */
  round: number
  seconds: number
}

/** A record that brought a node further: several rounds adopted at once, as by one that has been away, count as one, and a turn to another branch at the same round as none. */
export interface Adoption {
  round: number
  atMs: number
}

/**
 * The longest wait between two adoptions, or from the last one to the end; of a node that never adopted any, all of the time.
 * @param fromMs waits that were over before do not count, such as those of a mesh that is still coming up.
 * @param endMs when the mesh's last round was there, on the clock of the adoptions, as `fromMs` is.
 */
export function longestGap(node: number, adoptions: Adoption[], { fromMs, endMs }: { fromMs: number; endMs: number }): Gap | null {
  let longest: Gap | null = null
  const begins = adoptions.length === 0 ? [{ round: 0, atMs: fromMs }] : adoptions
  for (const [index, { round, atMs }] of begins.entries()) {
    const untilMs = begins[index + 1]?.atMs ?? endMs
    if (untilMs < fromMs) continue
    const seconds = Math.max(0, untilMs - atMs) / 1000
    if (longest === null || seconds > longest.seconds) longest = { node, round, seconds }
  }
  return longest
}
