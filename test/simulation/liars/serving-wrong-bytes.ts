// Gives bytes that do not match their names.
import type { Conduct } from '../conduct.ts'

export const servingWrongBytes: Conduct = { serves: () => 'wrong' }
