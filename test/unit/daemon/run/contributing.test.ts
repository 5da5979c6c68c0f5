import assert from 'node:assert/strict'
import { type OwnComponents, OwnContributions } from '../../../../daemon/run/contributing.ts'
import { type KeptRound, Ledger, type OwnContribution } from '../../../../daemon/run/ledger.ts'
import { Retention } from '../../../../daemon/run/retention.ts'
import { encodeBody } from '../../../../protocols/bodies/index.ts'
import { openStore, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

describe('OwnContributions', () => {
  const home = temporaryHome()
  let store: Store
  let ledger: Ledger
  let own: OwnContributions
  beforeEach(async () => {
    store = await openStore(home())
    ledger = new Ledger(store, 'run')
    own = new OwnContributions({ ledger, blocks: store.blocks } as unknown as OwnComponents) // nothing is signed or encoded here
  })
  afterEach(async () => {
    await store.close()
  })

  const body = async (text: string): Promise<string> => {
    const { root, blocks } = encodeBody([{ name: 'stage', tensors: [{ name: 't', shape: [text.length], bytes: Buffer.from(text) }] }])
    for (const { cid, bytes } of blocks) await store.blocks.put(cid, bytes)
    return root
  }
  const offered = (round: number, body: string): OwnContribution => ({
    sequence: round,
    round,
    parent: `r${round - 1}`,
    deltaFile: 'delta',
    steps: 1,
    tokens: 1,
    loss: 1,
    cid: `c${round}`,
    body,
    residualFile: null,
    fate: 'offered'
  })

  it('keep the body of one that was lost until it is put back, however many rounds the head went on at once', async () => {
    const mine = await body('mine')
    await ledger.putOwn(offered(4, mine))
    const retention = new Retention(store.blocks, await body('genesis'))
    retention.came(mine, 4)
    const newest = { round: 9, anchor: await body('anchor'), contributions: [] as KeptRound['contributions'] } as KeptRound // all that is read of it

    const lost = await own.settle('c4', 'lost')
    await retention.forget([newest], await own.open(), [])
    assert.equal(await store.blocks.has(mine), true)
    assert.deepEqual(
      (await own.open()).map(({ fate }) => fate),
      ['lost'],
      'a restart in between finds it'
    )
    await own.mark(lost!, 'restored')
    await retention.forget([newest], await own.open(), [])
    assert.equal(await store.blocks.has(mine), false)
  })
})
