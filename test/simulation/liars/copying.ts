// Shows the first body that it finds for the same round as its own.
import type { Conduct } from '../conduct.ts'

export const copying: Conduct = {
  contribution(node, honest) {
    const found = [...node.disk.contributions.values()].find(each => each.parent === honest.parent)
    return found === undefined ? honest : { ...honest, body: found.body }
  }
}
