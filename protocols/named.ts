// Names peers in a line for people, as many as it has room for.
/** Peers that one line names: identities cost nothing, and every look at the status reads it. */
const MAX_NAMED = 8

/** As much of `texts`, one a peer, as a line has room for. */
export function named(texts: readonly string[], separator = '; '): string {
  const rest = texts.length - MAX_NAMED
  return texts.slice(0, MAX_NAMED).join(separator) + (rest > 0 ? ` and ${rest} more` : '')
}
