import assert from 'node:assert/strict'
import { mismatches, mismatchSentence, versionsOf } from '../../../daemon/node-versions.ts'

const OURS = ['/shoal/n/kad/1.0.0', '/shoal/n/blocks/1', '/shoal/n/sync/1', '/shoal/n/presence/1']

describe('versions of protocols', () => {
  it("are read from what a peer lists of the mesh's own", () => {
    const found = versionsOf(
      [...OURS, '/shoal/n/blocks/2', '/shoal/other/blocks/7', '/ipfs/id/1.0.0', '/shoal/n/', '/shoal/n/blocks/x', '/shoal/n/a/b/1'],
      'n'
    )
    assert.deepEqual(
      found,
      new Map([
        ['kad', new Set([1])],
        ['blocks', new Set([1, 2])],
        ['sync', new Set([1])],
        ['presence', new Set([1])]
      ])
    )
    assert.equal(versionsOf(['/shoal/nn/blocks/1'], 'n').size, 0)
  })

  it('match where both speak one, or one of the two does not speak it at all', () => {
    const ours = versionsOf(OURS, 'n')
    assert.deepEqual(mismatches(ours, versionsOf(['/shoal/n/blocks/1', '/shoal/n/blocks/2', '/shoal/n/pipeline/1'], 'n')), [])
    assert.deepEqual(mismatches(ours, versionsOf(['/shoal/n/blocks/2', '/shoal/n/blocks/3', '/shoal/n/sync/0'], 'n')), [
      { protocol: 'blocks', theirs: 3, ours: 1 },
      { protocol: 'sync', theirs: 0, ours: 1 }
    ])
  })

  it('are told with which of the two is to be updated', () => {
    assert.equal(
      mismatchSentence('P', { protocol: 'blocks', theirs: 2, ours: 1 }),
      'P speaks version 2 of blocks, this node 1: update this node'
    )
    assert.equal(
      mismatchSentence('P', { protocol: 'sync', theirs: 0, ours: 1 }),
      'P speaks version 0 of sync, this node 1: that node needs an update'
    )
  })
})
