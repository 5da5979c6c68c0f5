import assert from 'node:assert/strict'
import { DamagedBlocks } from '../../../../daemon/run/damaged-blocks.ts'

describe('DamagedBlocks', () => {
  it('fetches a damaged block again at once, says so, and asks again for one that nobody gave', async () => {
    const said: string[] = []
    const held = new Set(['first'])
    const damaged = new DamagedBlocks({
      fetch: async cid => {
        if (!held.has(cid)) throw new Error('nobody reachable gave it')
      },
      events: {
        emit: facts => {
          said.push(`${facts.code} ${facts.data?.cid}`)
          return { id: 1, ts: '', ...facts }
        }
      }
    })
    damaged.found('first')
    damaged.found('second')
    await damaged.repair()
    assert.deepEqual(said.splice(0), ['block_repaired first', 'block_not_repaired second'])
    await damaged.repair()
    assert.deepEqual(said, [], 'said once')
    held.add('second')
    await damaged.repair()
    await damaged.repair()
    assert.deepEqual(said, ['block_repaired second'])
  })
})
