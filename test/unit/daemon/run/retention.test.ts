import assert from 'node:assert/strict'
import type { KeptRound } from '../../../../daemon/run/ledger.ts'
import { Retention } from '../../../../daemon/run/retention.ts'
import { encodeBody, encodeBodyRoot, fetchBody } from '../../../../protocols/bodies/index.ts'
import { type BlockStore, openBlockFiles } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

describe('Retention', () => {
  const home = temporaryHome()
  let blocks: BlockStore
  beforeEach(async () => {
    blocks = await openBlockFiles(home())
  })
  afterEach(async () => {
    await blocks.close()
  })

  /** A body of two tensors; bodies with the same `common` share that tensor's chunk. */
  async function body(own: string, common = own): Promise<string> {
    const tensors = [`own ${own}`, `common ${common}`].map((text, i) => ({ name: `t${i}`, shape: [text.length], bytes: Buffer.from(text) }))
    const { root, blocks: made } = encodeBody([{ name: 'stage', tensors }])
    for (const { cid, bytes } of made) await blocks.put(cid, bytes)
    return root
  }
  const round = (round: number, anchor: string, contribution: string): KeptRound => ({
    round,
    record: 'r',
    parent: 'p',
    anchor,
    closer: 'c',
    contributors: [],
    contributions: [{ cid: 'c', body: contribution, peer: 'p', round, tokens: 1, age: 0 }],
    seconds: null,
    bytes: 0,
    adoptedAt: null,
    loss: null
  })
  const count = async () => (await blocks.usage()).blocks

  it('forget() deletes bodies and anchors of rounds that are not kept, and no block that a kept one shares', async () => {
    const genesis = await body('genesis')
    const retention = new Retention(blocks, genesis)
    const rounds: KeptRound[] = []
    for (let r = 1; r <= 5; r++) rounds.unshift(round(r, await body(`anchor ${r}`, 'frozen'), await body(`delta ${r}`)))
    for (const kept of [...rounds].reverse()) await retention.forget([kept], [], [])
    assert.equal(await blocks.has(rounds[0]!.anchor), true)
    assert.equal(await blocks.has(rounds[4]!.anchor), false)
    assert.equal(await blocks.has(rounds[4]!.contributions[0]!.body), false)
    // The genesis and round 5 whole; round 4 is still young enough for the next record to name its contributions.
    assert.equal(await blocks.has(genesis), true)
    assert.equal(await count(), 4 + 4 + 4 + (4 - 1) + 4)
  })

  it('forget() deletes after a restart what an earlier life kept', async () => {
    const genesis = await body('genesis')
    const rounds: KeptRound[] = []
    for (let r = 1; r <= 6; r++) rounds.unshift(round(r, await body(`anchor ${r}`), await body(`delta ${r}`)))
    const retention = new Retention(blocks, genesis)
    retention.resume(rounds.slice(1))
    await retention.forget(rounds.slice(0, 2), [], [])
    for (const { anchor, round } of rounds) assert.equal(await blocks.has(anchor), round >= 5, `round ${round}`)
  })

  it('forget() leaves alone what this node still offers', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const offered = await body('mine')
    retention.came(offered, 1)
    const own = { body: offered } as Parameters<Retention['forget']>[1][number]
    await retention.forget([round(9, await body('anchor'), await body('delta'))], [own], [])
    assert.equal(await blocks.has(offered), true)
    await retention.forget([round(9, await body('anchor'), await body('delta'))], [], [])
    assert.equal(await blocks.has(offered), false)
  })

  it('forget() keeps a body that was shown again while it is young enough for the next record, with the chunks that it shares', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const [again, old] = [await body('again', 'shared'), await body('old', 'shared')]
    retention.came(again, 8)
    retention.came(old, 8)
    retention.came(again, 10)
    await retention.forget([round(10, await body('anchor'), await body('delta'))], [], [])
    assert.equal(await blocks.has(again), true)
    assert.equal(await blocks.has(old), false)
    assert.deepEqual((await fetchBody(again, { get: cid => blocks.get(cid), fetch: async cids => missing(cids) })).missing, [])
    await retention.forget([round(12, await body('next anchor'), await body('next delta'))], [], [])
    assert.equal(await blocks.has(again), false)
  })

  it('forget() keeps anchors that somebody asked for', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const fetched = await body('fetched')
    retention.came(fetched, 1)
    await retention.forget([round(9, await body('anchor'), await body('delta'))], [], [fetched])
    assert.equal(await blocks.has(fetched), true)
  })

  it('forget() goes on after a disk that failed once', async () => {
    let fails = true
    const failing = {
      get: (cid: string) => blocks.get(cid),
      delete: (cid: string) => (fails ? Promise.reject(new Error('EIO')) : blocks.delete(cid))
    }
    const retention = new Retention(failing, await body('genesis'))
    const gone = await body('gone')
    retention.came(gone, 1)
    const kept = [round(9, await body('anchor'), await body('delta'))]
    await assert.rejects(retention.forget(kept, [], []), /EIO/)
    fails = false
    await retention.forget(kept, [], [])
    assert.equal(await blocks.has(gone), false)
  })

  it('forget() goes on past what is no body, and leaves it alone', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const noBody = await blocks.putCbor({ hello: 1 })
    const { cid: noIndex, bytes } = encodeBodyRoot({ stages: [{ name: 'stage', index: noBody }] })
    await blocks.put(noIndex, bytes)
    const gone = await body('gone')
    for (const root of [noBody, noIndex, gone]) retention.came(root, 1)
    await retention.forget([round(9, await body('anchor'), await body('delta'))], [], [])
    assert.equal(await blocks.has(noBody), true)
    assert.equal(await blocks.has(gone), false)
  })

  async function missing(cids: string[]): Promise<{ missing: string[] }> {
    const held = await Promise.all(cids.map(cid => blocks.has(cid)))
    return { missing: cids.filter((_, i) => !held[i]) }
  }
})
