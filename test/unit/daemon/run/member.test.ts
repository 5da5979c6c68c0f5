import assert from 'node:assert/strict'
import { keepsUp } from '../../../../daemon/run/member.ts'

describe('keepsUp()', () => {
  it('holds for a trainer that adopts the next record, not for one that has to catch up or is on a record that nobody knows', () => {
    assert.deepEqual([keepsUp(7, 7), keepsUp(6, 7), keepsUp(5, 7), keepsUp(null, 7)], [true, true, false, false])
    assert.equal(keepsUp(7, 6), true, 'a fork may lead back')
  })
})
