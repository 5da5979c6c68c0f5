// Says that it holds whatever it has heard of, and much that nobody has.
import type { Conduct } from '../conduct.ts'

export const pretending: Conduct = {
  holds: (node, _honest) => {
    const { round } = node.rounds.head
    const heardOf = [...node.disk.contributions].filter(([, contribution]) => contribution.round > round).map(([cid]) => cid)
    return [...heardOf, ...Array.from({ length: 20 }, (_, at) => `cnowhere${node.index}-${round}-${at}`)]
  },
  // Nor does it give what it has.
  serves: (_node, _to, what) => (what === 'bodies' ? 'silence' : 'whole')
}
