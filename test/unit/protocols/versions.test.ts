import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { decodeBodyRoot } from '../../../protocols/bodies/messages.ts'
import { decodePresence } from '../../../protocols/presence/messages.ts'
import { decodeContribution } from '../../../protocols/rounds/index.ts'
import { decodeHeadAnswer } from '../../../protocols/sync/messages.ts'

describe('the version of a message', () => {
  it('is refused as none where it is a thing that cannot be made into text', () => {
    const bytes = dagCbor.encode({ v: { toString: 1, valueOf: 1 } })
    for (const decode of [decodePresence, decodeHeadAnswer, decodeBodyRoot, decodeContribution])
      assert.throws(() => decode(bytes), { code: 'bad_message' })
  })

  it('says which of the two nodes is to be updated', () => {
    assert.throws(() => decodePresence(dagCbor.encode({ v: 2 })), { code: 'version_mismatch', hint: 'update this node' })
    assert.throws(() => decodeHeadAnswer(dagCbor.encode({ v: 0 })), { code: 'version_mismatch', hint: 'update the node that sent it' })
  })
})
