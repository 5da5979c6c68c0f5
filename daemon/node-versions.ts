// Which versions of the mesh's protocols a peer speaks, read from the list that identify brings, and where the two of us cannot understand each other. Pure.

export interface VersionMismatch {
  /** Such as `blocks`. */
  protocol: string
  /** The newest that the peer speaks. */
  theirs: number
  /** The newest that this node speaks. */
  ours: number
}

/** Protocols looked at in one peer's list; ours has a handful. */
const MAX_LISTED = 256

/** Major versions by protocol, of those whose names begin with the mesh's: `/shoal/NETWORK/blocks/1` or `/shoal/NETWORK/kad/1.0.0`. */
export function versionsOf(protocols: readonly string[], network: string): Map<string, Set<number>> {
  const prefix = `/shoal/${network}/`
  const versions = new Map<string, Set<number>>()
  for (const id of protocols.slice(0, MAX_LISTED)) {
    if (!id.startsWith(prefix)) continue
    const [, name, version] = /^([a-z]{1,32})\/(\d{1,6})(?:\.\d{1,6})*$/.exec(id.slice(prefix.length)) ?? []
    if (name !== undefined) versions.set(name, (versions.get(name) ?? new Set()).add(Number(version)))
  }
  return versions
}

/** Protocols that both speak, in no version of each other's. One that a peer does not speak at all is its own choice. */
export function mismatches(ours: Map<string, Set<number>>, theirs: Map<string, Set<number>>): VersionMismatch[] {
  const found: VersionMismatch[] = []
  for (const [protocol, versions] of ours) {
    const spoken = theirs.get(protocol)
    if (spoken === undefined || [...spoken].some(version => versions.has(version))) continue
    found.push({ protocol, theirs: Math.max(...spoken), ours: Math.max(...versions) })
  }
  return found
}

/** One sentence, with which of the two is to be updated. */
export function mismatchSentence(peer: string, { protocol, theirs, ours }: VersionMismatch): string {
  const way = theirs > ours ? 'update this node' : 'that node needs an update'
  return `${peer} speaks version ${theirs} of ${protocol}, this node ${ours}: ${way}`
}
