// Gives nobody a body, and says that it has none.
import type { Conduct } from '../conduct.ts'

export const withholding: Conduct = {
  serves: (_node, _to, what) => (what === 'bodies' ? 'nothing' : 'whole')
}
