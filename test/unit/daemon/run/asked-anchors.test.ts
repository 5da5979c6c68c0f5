import assert from 'node:assert/strict'
import { AskedAnchors } from '../../../../daemon/run/asked-anchors.ts'
import { Fetcher } from '../../../../daemon/run/fetching.ts'
import { Retention } from '../../../../daemon/run/retention.ts'
import { fetchAnchorLike } from '../../../../daemon/run/told-heads.ts'
import { type EncodedBlock, encodeBody } from '../../../../protocols/bodies/index.ts'
import { type BlockStore, openBlockFiles, StorageError } from '../../../../storage/index.ts'
import { countBlocks } from '../../storage/stored-blocks.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

/** Four blocks: of two chunks one is the same in each. */
function anchor(text: string): { root: string; blocks: EncodedBlock[] } {
  return encodeBody([
    {
      name: 'stage',
      tensors: [
        { name: 'same', shape: [4], bytes: Buffer.from('same') },
        { name: 'own', shape: [text.length], bytes: Buffer.from(text) }
      ]
    }
  ])
}

describe('AskedAnchors', () => {
  const home = temporaryHome()
  const genesis = anchor('old')
  let blocks: BlockStore
  let offered: Map<string, Uint8Array>
  let asked: string[]
  let nowMs: number
  let retention: Retention
  let anchors: AskedAnchors
  beforeEach(async () => {
    blocks = await openBlockFiles(home())
    for (const { cid, bytes } of genesis.blocks) await blocks.put(cid, bytes)
    offered = new Map()
    asked = []
    nowMs = 0
    retention = new Retention(blocks, null, async () => [genesis.root])
    anchors = new AskedAnchors(retention, () => nowMs)
  })
  afterEach(async () => {
    await blocks.close()
  })

  const offer = (made: EncodedBlock[]): void => {
    for (const { cid, bytes } of made) offered.set(cid, bytes)
  }
  const fetcher = (): Fetcher =>
    new Fetcher(
      {
        fetch: async cids => {
          const missing: string[] = []
          for (const cid of cids) {
            if (await blocks.has(cid)) continue
            asked.push(cid)
            const bytes = offered.get(cid)
            if (bytes === undefined) missing.push(cid)
            else await blocks.put(cid, bytes)
          }
          return { missing }
        }
      },
      blocks
    )
  const fetch = (root: string, { run = 'run', signal = new AbortController().signal } = {}): Promise<void> =>
    anchors.fetch(run, root, signal, telling =>
      fetchAnchorLike(genesis.root, root, fetcher(), { from: () => ['holder'], signal, timeoutMs: 1_000, ...telling })
    )

  it('goes on where a fetch broke off, and lets go what nobody takes up again for an hour', async () => {
    const { root, blocks: made } = anchor('new')
    offer(made.filter(({ cid }) => cid === root))
    await assert.rejects(fetch(root), { code: 'block_unavailable' })
    nowMs = 3_599_999
    anchors.letOldGo()
    await retention.settled
    assert.equal(await blocks.has(root), true)
    offer(made)
    asked = []
    await fetch(root)
    assert.equal(asked.includes(root), false)
    assert.equal(await fetcher().isWhole(root), true)
    nowMs = 7_200_000
    anchors.letOldGo()
    await retention.settled
    assert.equal(await fetcher().isWhole(root), true, 'it was asked for, and is here')

    const other = anchor('not')
    offer(other.blocks.slice(-2))
    await assert.rejects(fetch(other.root), { code: 'block_unavailable' })
    const before = await countBlocks(blocks)
    nowMs += 3_600_000
    anchors.letOldGo()
    await retention.settled
    assert.equal(await countBlocks(blocks), before - 2)
    assert.deepEqual(anchors.runs, [])
  })

  it('lets go what broke off where another anchor of that run is asked for, unless it is under way again', async () => {
    const before = await countBlocks(blocks)
    for (const [text, run] of [
      ['one', 'run'],
      ['two', 'other']
    ] as const) {
      const { root, blocks: made } = anchor(text)
      offer(made.filter(({ cid }) => cid === root))
      await assert.rejects(fetch(root, { run }), { code: 'block_unavailable' })
    }
    await assert.rejects(fetch(anchor('three').root), { code: 'block_unavailable' })
    await retention.settled
    assert.deepEqual([await blocks.has(anchor('one').root), await blocks.has(anchor('two').root)], [false, true])
    const mayEnd = Promise.withResolvers<void>()
    const underWay = anchors.fetch('other', anchor('two').root, new AbortController().signal, () => mayEnd.promise)
    await assert.rejects(fetch(anchor('four').root, { run: 'other' }), { code: 'block_unavailable' })
    await retention.settled
    assert.equal(await countBlocks(blocks), before + 1)
    mayEnd.resolve()
    await underWay
  })

  it('leaves nothing at once of one that is refused, nor of one that found no room, but of one that was broken off by hand', async () => {
    const before = await countBlocks(blocks)
    const refused = anchor('longer')
    offer(refused.blocks)
    await assert.rejects(fetch(refused.root), { code: 'bad_anchor' })
    await retention.settled
    assert.equal(await countBlocks(blocks), before)
    for (const { cid } of genesis.blocks) assert.equal(await blocks.has(cid), true)

    const { root, blocks: made } = anchor('new')
    offer(made)
    const stop = new AbortController()
    const brokenOff = anchors.fetch('run', root, stop.signal, async telling => {
      await fetchAnchorLike(genesis.root, root, fetcher(), { from: () => [], signal: stop.signal, timeoutMs: 1_000, ...telling })
      stop.abort(new Error('Ctrl-C'))
      stop.signal.throwIfAborted()
    })
    await assert.rejects(brokenOff, /Ctrl-C/)
    await retention.settled
    assert.equal(await fetcher().isWhole(root), true)
    const put = blocks.put
    await blocks.delete(root)
    blocks.put = async () => {
      throw new StorageError('disk_full', 'no room')
    }
    await assert.rejects(fetch(root), { code: 'disk_full' })
    blocks.put = put
    await retention.settled
    assert.equal(await countBlocks(blocks), before)
  })
})
