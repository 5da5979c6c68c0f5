// What may be forgotten. Which blocks matter is for those to say who know rounds; this room only subtracts.

/** The blocks held that nobody wants kept, in the order in which they are held. Pure: the caller deletes them. */
export function blocksToDelete(held: Iterable<string>, keep: ReadonlySet<string>): string[] {
  return [...held].filter(cid => !keep.has(cid))
}
