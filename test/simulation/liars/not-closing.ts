// Never closes when it is its turn.
import type { Conduct } from '../conduct.ts'

export const notClosing: Conduct = { closes: () => false }
