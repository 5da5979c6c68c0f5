import assert from 'node:assert/strict'
import { blocksToDelete } from '../../../storage/index.ts'

describe('blocksToDelete()', () => {
  it('names what is held and not kept', () => {
    assert.deepEqual(blocksToDelete(['a', 'b', 'c'], new Set(['b', 'x'])), ['a', 'c'])
  })
})
