import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { corruptBlock } from '../../../../../cli/mesh/faults/corrupt-block.ts'
import { openStore } from '../../../../../storage/index.ts'
import { putRaw } from '../../../storage/stored-blocks.ts'
import { temporaryHome } from '../../../storage/temporary-home.ts'

describe('corruptBlock()', () => {
  const home = temporaryHome()

  it('spoils the block that is named, or the largest of the newest, as a store sees it', async () => {
    const store = await openStore(home())
    const small = await putRaw(store.blocks, randomBytes(100))
    const large = await putRaw(store.blocks, randomBytes(10_000))
    assert.equal(await corruptBlock(home(), small), small)
    assert.equal(await store.blocks.get(small), undefined)
    assert.equal((await store.blocks.get(large))?.byteLength, 10_000)
    assert.equal(await corruptBlock(home(), null), large)
    assert.equal(await store.blocks.get(large), undefined)
    await assert.rejects(corruptBlock(home(), small.replace(/.$/, small.endsWith('a') ? 'q' : 'a')), { code: 'step_failed' })
    await store.close()
  })
})
