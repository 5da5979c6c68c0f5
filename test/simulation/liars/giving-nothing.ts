// Is present, trains, and shows its work to nobody from some round on.
import type { Conduct } from '../conduct.ts'

export const givingNothingFrom = (round: number): Conduct => ({
  showsContribution: (_node, cid, contribution) => () => (contribution.round < round ? cid : null),
  holds: (node, honest) =>
    honest.filter(cid => (node.disk.contributions.get(cid)?.round ?? 0) < round || node.disk.contributions.get(cid)?.peer !== node.peer)
})
