// Names heads that do not exist: always the same one, or another one each time.
import type { Conduct } from '../conduct.ts'

export const namingOneHead: Conduct = {
  tells: (_node, _to, honest) => ({ ...honest, head: 'rnowhere', round: honest.round + 1 })
}

export const namingNewHeads: Conduct = {
  tells: (node, _to, honest) => ({ ...honest, head: `rnowhere${node.world.time.now}`, round: honest.round + 1 })
}
