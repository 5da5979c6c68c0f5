import assert from 'node:assert/strict'
import type { KeptRound, OwnContribution } from '../../../../daemon/run/ledger.ts'
import { type ForgettingBlocks, type ForgettingLedger, Retention } from '../../../../daemon/run/retention.ts'
import { decodeBodyRoot, encodeBody, encodeBodyRoot, fetchBody, listBodyBlocks } from '../../../../protocols/bodies/index.ts'
import { cidOf, RAW } from '../../../../protocols/cids.ts'
import { type BlockStore, openBlockFiles } from '../../../../storage/index.ts'
import { countBlocks, putCbor } from '../../storage/stored-blocks.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

/** The same blocks, and which of them were read. */
function readsOf(blocks: BlockStore): { reads: string[]; counting: ForgettingBlocks } {
  const reads: string[] = []
  const get = (cid: string) => {
    reads.push(cid)
    return blocks.get(cid)
  }
  return { reads, counting: { get, delete: cid => blocks.delete(cid) } }
}

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
  const count = () => countBlocks(blocks)
  /** Has these rounds, newest first. */
  const ledgerOf = (rounds: KeptRound[], own: OwnContribution[] = []): ForgettingLedger => {
    let keptFrom: number | undefined
    return {
      rounds: async limit => rounds.slice(0, limit),
      async *roundsFrom(fromRound) {
        yield* [...rounds].reverse().filter(({ round }) => round >= fromRound)
      },
      own: async limit => own.slice(0, limit),
      keptFrom: async () => keptFrom,
      keepFrom: async round => {
        keptFrom = round
      }
    }
  }

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

  it('forget() deletes after a restart what an earlier life kept, or was about to forget when it was killed', async () => {
    const genesis = await body('genesis')
    const rounds: KeptRound[] = []
    for (let r = 1; r <= 6; r++) rounds.unshift(round(r, await body(`anchor ${r}`), await body(`delta ${r}`)))
    const retention = new Retention(blocks, genesis)
    await retention.resume(ledgerOf(rounds.slice(1)), 2)
    await retention.forget(rounds.slice(0, 2), [], [])
    for (const { anchor, round } of rounds) assert.equal(await blocks.has(anchor), round >= 5, `round ${round}`)
  })

  it('forget() deletes after a restart what was here before hundreds of rounds were adopted at once, however often it was killed since', async () => {
    const rounds: KeptRound[] = []
    for (let r = 1; r <= 4; r++) rounds.unshift(round(r, await body(`anchor ${r}`), await body(`delta ${r}`)))
    const ledger = ledgerOf(rounds)
    const genesis = await body('genesis')
    const first = new Retention(blocks, genesis)
    await first.resume(ledger, 2)
    await first.forget(rounds.slice(0, 2), [], [])
    for (let r = 5; r <= 204; r++) rounds.unshift(round(r, cidOf(Buffer.from(`anchor ${r}`), RAW), cidOf(Buffer.from(`delta ${r}`), RAW)))
    rounds.unshift(round(205, await body('anchor 205'), await body('delta 205')))
    const killed = new Retention({ get: cid => blocks.get(cid), delete: () => Promise.reject(new Error('killed')) }, genesis)
    await killed.resume(ledger, 2)
    await assert.rejects(killed.forget(rounds.slice(0, 2), [], []), /killed/)
    const last = new Retention(blocks, genesis)
    await last.resume(ledger, 2)
    await last.forget(rounds.slice(0, 2), [], [])
    await readable(rounds[0]!.anchor)
    assert.equal(await count(), 4 + 4 + 4, 'the genesis, and the newest anchor and body')
  })

  it('forget() leaves nothing for ever, whichever delete a kill came after', async () => {
    const genesis = await body('genesis')
    for (let isKilled = true, deletesLeft = 0; isKilled; deletesLeft++) {
      const rounds: KeptRound[] = []
      for (let r = 1; r <= 6; r++)
        rounds.unshift(round(r, await body(`anchor ${r}`, 'frozen'), await body(`delta ${r}`, r < 5 ? 'same' : 'new')))
      const ledger = ledgerOf(rounds)
      let deletes = 0
      isKilled = false
      const killing = {
        get: (cid: string) => blocks.get(cid),
        delete: async (cid: string) => {
          isKilled ||= deletes++ === deletesLeft
          if (isKilled) throw new Error('killed')
          await blocks.delete(cid)
        }
      }
      const first = new Retention(killing, genesis)
      await first.resume(ledger, 2)
      for (const head of [4, 5, 6]) if (!isKilled) await first.forget(rounds.slice(6 - head, 8 - head), [], []).catch(() => {})
      const last = new Retention(blocks, genesis)
      await last.resume(ledger, 2)
      await last.forget(rounds.slice(0, 2), [], [])
      for (const { anchor } of rounds.slice(0, 2)) await readable(anchor)
      assert.equal(await count(), 4 + 4 + 4 + (4 - 1) + (4 - 1), `after ${deletesLeft} deletes`)
    }
  })

  it('forget() deletes after a restart what this node offered and no record took, once its fate is settled', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const [offered, settled] = await Promise.all(
      ['offered', 'settled'].map(async name => ({ body: await body(name), round: 3 }) as OwnContribution)
    )
    await retention.resume(ledgerOf([], [offered!, { ...settled!, body: null }, settled!]), 8)
    const kept = await body('anchor')
    await retention.forget([round(5, kept, kept)], [offered!], [])
    await readable(offered!.body!)
    assert.equal(await blocks.has(settled!.body!), false)
    assert.equal(await count(), 4 + 4 + 4)
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
    await readable(again)
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
    const noBody = await putCbor(blocks, { hello: 1 })
    const { cid: noIndex, bytes } = encodeBodyRoot({ stages: [{ name: 'stage', index: noBody }] })
    await blocks.put(noIndex, bytes)
    const gone = await body('gone')
    for (const root of [noBody, noIndex, gone]) retention.came(root, 1)
    await retention.forget([round(9, await body('anchor'), await body('delta'))], [], [])
    assert.equal(await blocks.has(noBody), true)
    assert.equal(await blocks.has(gone), false)
  })

  it('forget() takes along of a body that is in no record only what its own fetch brought', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const corpus = await body('corpus')
    const indexOfCorpus = decodeBodyRoot((await blocks.get(corpus))!).stages[0]!.index
    const { cid: mixed, bytes } = encodeBodyRoot({ stages: [{ name: 'another', index: indexOfCorpus }] })
    const noBody = await putCbor(blocks, { hello: 2 })
    const before = await count()
    retention.fetching(corpus, 1)
    retention.fetching(mixed, 1).onAbsent([mixed])
    await blocks.put(mixed, bytes)
    retention.fetching(noBody, 1).onAbsent([noBody])
    const kept = [round(9, await body('anchor'), await body('delta'))]
    const both = 4 + 4
    await retention.forget(kept, [], [])
    assert.equal(await count(), before - 1 + both)
    assert.equal(await blocks.has(noBody), false)
    await readable(corpus)
  })

  it('forget() deletes what was fetched for a body in no record when a younger one named it, too', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const [old, young] = [await body('old', 'shared'), await body('young', 'shared')]
    const { blocks: ofOld } = await listBodyBlocks(old, cid => blocks.get(cid))
    const { blocks: ofYoung } = await listBodyBlocks(young, cid => blocks.get(cid))
    retention.fetching(old, 5).onAbsent(ofOld)
    const telling = retention.fetching(young, 6)
    await telling.onNamed(ofYoung)
    telling.onAbsent(ofYoung.filter(cid => !ofOld.includes(cid)))
    const kept = await body('anchor')
    await retention.forget([round(7, kept, kept)], [], [])
    await readable(young)
    await retention.forget([round(8, kept, kept)], [], [])
    assert.equal(await count(), 4 + 4, 'the genesis and the kept anchor')
  })

  it('forget() deletes what came for a body after it was forgotten', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const { root, blocks: made } = encodeBody([{ name: 'stage', tensors: [{ name: 't', shape: [4], bytes: Buffer.from('slow') }] }])
    const cids = made.map(({ cid }) => cid)
    const { onAbsent } = retention.fetching(root, 1)
    onAbsent(cids)
    const kept = await body('anchor')
    await retention.forget([round(9, kept, kept)], [], [])
    for (const { cid, bytes } of made) await blocks.put(cid, bytes)
    onAbsent(cids)
    await retention.forget([round(10, kept, kept)], [], [])
    assert.equal(await count(), 4 + 4)
  })

  it('forget() deletes what was fetched of an anchor that is not sought any more, before any round is adopted', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const anchors = await Promise.all(['overtaken', 'sought', 'taken'].map(name => body(name)))
    for (const root of anchors) retention.fetching(root, 50).onAbsent((await listBodyBlocks(root, cid => blocks.get(cid))).blocks)
    const [overtaken, sought, taken] = anchors
    retention.came(taken!, 50)
    for (const root of [overtaken, taken]) retention.abandoned(root!)
    await retention.forget([], [], [])
    assert.equal(await blocks.has(overtaken!), false)
    await readable(sought!)
    await readable(taken!)
    assert.equal(await count(), 4 + 4 + 4)
  })

  it('forget() deletes nothing of an anchor that is sought again from when it is looked for, and of what went before that is known', async () => {
    const first = Promise.withResolvers<void>()
    const mayDelete = Promise.withResolvers<void>()
    const deleted: string[] = []
    const slow = {
      get: (cid: string) => blocks.get(cid),
      delete: async (cid: string) => {
        deleted.push(cid)
        first.resolve()
        await mayDelete.promise
        await blocks.delete(cid)
      }
    }
    const retention = new Retention(slow, await body('genesis'))
    const anchor = await body('wavering')
    const { blocks: named } = await listBodyBlocks(anchor, cid => blocks.get(cid))
    const bytes = new Map(await Promise.all(named.map(async cid => [cid, (await blocks.get(cid))!] as const)))
    retention.fetching(anchor, 50).onAbsent(named)
    retention.abandoned(anchor)
    const forgetting = retention.forget([], [], [])
    await first.promise
    const again = retention.fetching(anchor, 51)
    const looked = again.onNamed(named).then(async () => (await missing(named)).missing)
    mayDelete.resolve()
    const absent = await looked
    assert.deepEqual(absent, deleted)
    assert.equal(deleted.length, 1)
    again.onAbsent(absent)
    for (const cid of absent) await blocks.put(cid, bytes.get(cid)!)
    await forgetting
    await retention.forget([], [], [])
    await readable(anchor)
    retention.abandoned(anchor)
    await retention.forget([], [], [])
    assert.equal(await count(), 4, 'the genesis')
  })

  it('forget() lets nothing go that is sought again while it reads what is to go', async () => {
    const reading = Promise.withResolvers<void>()
    const mayRead = Promise.withResolvers<void>()
    const slow = {
      get: async (cid: string) => {
        reading.resolve()
        await mayRead.promise
        return blocks.get(cid)
      },
      delete: (cid: string) => blocks.delete(cid)
    }
    const retention = new Retention(slow, await body('genesis'))
    const [old, anchor] = [await body('old'), await body('wavering')]
    const { blocks: named } = await listBodyBlocks(anchor, cid => blocks.get(cid))
    retention.came(old, 1)
    retention.fetching(anchor, 50).onAbsent(named)
    retention.abandoned(anchor)
    const kept = await body('anchor')
    const forgetting = retention.forget([round(50, kept, kept)], [], [])
    await reading.promise
    await retention.fetching(anchor, 50).onNamed(named)
    mayRead.resolve()
    await forgetting
    await retention.forget([round(51, kept, kept)], [], [])
    assert.equal(await blocks.has(old), false)
    await readable(anchor)
  })

  it('forget() deletes a body as a whole once a record has it', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const delta = await body('delta')
    retention.fetching(delta, 1)
    const kept = await body('anchor')
    await retention.forget([round(1, kept, delta)], [], [])
    await retention.forget([round(9, kept, kept)], [], [])
    assert.equal(await count(), 4 + 4)
  })

  it('forget() spares what the node keeps beside this run', async () => {
    const [anchorOfBoth, old] = [await body('both', 'shared'), await body('old', 'shared')]
    const retention = new Retention(blocks, await body('genesis'), async () => [anchorOfBoth])
    retention.came(anchorOfBoth, 1)
    retention.came(old, 1)
    const kept = await body('anchor')
    await retention.forget([round(9, kept, kept)], [], [])
    await readable(anchorOfBoth)
    assert.equal(await blocks.has(old), false)
  })

  it('forget() reads the indexes of what it keeps once, however many rounds follow', async () => {
    const { reads, counting } = readsOf(blocks)
    const beside = await body('beside', 'shared')
    const retention = new Retention(counting, await body('genesis'), async () => [beside])
    const rounds: KeptRound[] = []
    for (let r = 1; r <= 12; r++) {
      rounds.unshift(round(r, await body(`anchor ${r}`, 'frozen'), await body(`delta ${r}`)))
      await retention.forget(rounds.slice(0, 4), [], [])
    }
    assert.ok(reads.length > 40)
    assert.equal(new Set(reads).size, reads.length)
    for (const { anchor, round } of rounds) assert.equal(await blocks.has(anchor), round > 8)
    await readable(rounds[0]!.anchor)
  })

  it('forget() reads nothing of a body that nobody has checked, and spares what its fetch looked for, in other runs too', async () => {
    const [young, elsewhere, old] = [await body('young', 'shared'), await body('elsewhere', 'shared too'), await body('old', 'shared')]
    const older = await body('older', 'shared too')
    const { reads, counting } = readsOf(blocks)
    const other = new Retention(counting, await body('genesis of another run'))
    const retention = new Retention(
      counting,
      await body('genesis'),
      async () => other.roots,
      cid => other.isNamed(cid)
    )
    const ofUnchecked = new Set<string>()
    for (const [root, run] of [[young, retention] as const, [elsewhere, other] as const]) {
      const { blocks: named } = await listBodyBlocks(root, cid => blocks.get(cid))
      await run.fetching(root, 9).onNamed(named)
      for (const cid of named) ofUnchecked.add(cid)
    }
    for (const root of [old, older]) retention.came(root, 1)
    const kept = await body('anchor')
    await retention.forget([round(9, kept, kept)], [], [])
    assert.deepEqual(
      reads.filter(cid => ofUnchecked.has(cid)),
      []
    )
    for (const root of [old, older]) assert.equal(await blocks.has(root), false)
    for (const root of [young, elsewhere]) await readable(root)
  })

  it('knows what bodies name that nobody has checked, as long as one of them does', async () => {
    const retention = new Retention(blocks, await body('genesis'))
    const [first, second, third] = [await body('first'), await body('second'), await body('third')]
    await retention.fetching(first, 1).onNamed(['shared', 'own'])
    const again = retention.fetching(first, 1)
    await again.onNamed(['shared'])
    again.onAbsent(['shared'])
    await retention.fetching(second, 9).onNamed(['shared'])
    await retention.fetching(third, 9).onNamed(['shared'])
    const named = (): boolean[] => ['shared', 'own'].map(cid => retention.isNamed(cid))
    assert.deepEqual(named(), [true, true])
    const kept = await body('anchor')
    await retention.forget([round(9, kept, kept)], [], [])
    assert.deepEqual(named(), [true, false], 'the first is forgotten')
    retention.came(second, 9)
    assert.deepEqual(named(), [true, false], 'the third is left')
    retention.came(third, 9)
    assert.deepEqual(named(), [false, false])
  })

  it('forget() looks again at a body whose indexes were not all there', async () => {
    const [kept, old] = [await body('kept', 'shared'), await body('old', 'shared')]
    const index = decodeBodyRoot((await blocks.get(kept))!).stages[0]!.index
    const bytes = (await blocks.get(index))!
    const retention = new Retention(blocks, await body('genesis'))
    for (const [head, gone] of [await body('first'), old].entries()) {
      retention.came(gone, 1)
      if (head === 0) await blocks.delete(index)
      else await blocks.put(index, bytes)
      await retention.forget([round(9 + head, kept, kept)], [], [])
    }
    await readable(kept)
    assert.equal(await blocks.has(old), false)
  })

  it('forget() does of several that wait only the newest', async () => {
    const genesis = await body('genesis')
    const rounds: KeptRound[] = []
    for (let r = 1; r <= 6; r++) rounds.unshift(round(r, await body(`anchor ${r}`), await body(`delta ${r}`)))
    let times = 0
    const retention = new Retention(blocks, genesis, async () => {
      times++
      return []
    })
    retention.came(await body('young'), 6)
    await Promise.all([...rounds].reverse().map(kept => retention.forget([kept], [], [])))
    assert.equal(times, 1)
    for (const { anchor, round } of rounds) assert.equal(await blocks.has(anchor), round >= 5, `round ${round}`)
  })

  it('settled waits for what is being forgotten, whether or not the disk does it', async () => {
    const deleting = Promise.withResolvers<void>()
    const refused = Promise.withResolvers<void>()
    const refuse = (): Promise<void> => {
      deleting.resolve()
      return refused.promise
    }
    const retention = new Retention({ get: cid => blocks.get(cid), delete: refuse }, await body('genesis'))
    await retention.settled
    retention.came(await body('gone'), 1)
    const kept = await body('anchor')
    const forgetting = assert.rejects(retention.forget([round(9, kept, kept)], [], []), /EIO/)
    let isSettled = false
    const settled = retention.settled.then(() => {
      isSettled = true
    })
    await deleting.promise
    assert.equal(isSettled, false)
    refused.reject(new Error('EIO'))
    await Promise.all([forgetting, settled])
  })

  async function readable(root: string): Promise<void> {
    assert.deepEqual((await fetchBody(root, { get: cid => blocks.get(cid), fetch: async cids => missing(cids) })).missing, [])
  }

  async function missing(cids: string[]): Promise<{ missing: string[] }> {
    const held = await Promise.all(cids.map(cid => blocks.has(cid)))
    return { missing: cids.filter((_, i) => !held[i]) }
  }
})
