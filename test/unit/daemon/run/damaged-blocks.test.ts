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

  /** Fetches that are under way, in the order in which they began, and what was said. */
  function held() {
    const asked: { cid: string; give: () => void; refuse: () => void }[] = []
    const said: string[] = []
    const clock = { now: 0 }
    const damaged = new DamagedBlocks({
      fetch: cid =>
        new Promise<void>((resolve, reject) => {
          asked.push({ cid, give: resolve, refuse: () => reject(new Error('nobody reachable gave it')) })
        }),
      events: {
        emit: facts => {
          said.push(`${facts.code} ${facts.data?.cid}`)
          return { id: 1, ts: '', ...facts }
        }
      },
      now: () => clock.now
    })
    const turn = () => new Promise(resolve => setImmediate(resolve))
    const settle = async (way: 'give' | 'refuse') => {
      for (let next = asked.shift(); next !== undefined; next = asked.shift()) {
        next[way]()
        await turn()
      }
    }
    return { damaged, asked, said, clock, settle, turn }
  }

  it('asks for a few at once, and for the newest before all that wait', async () => {
    const { damaged, asked, settle, turn } = held()
    for (let i = 0; i < 100; i++) damaged.found(`old ${i}`)
    assert.equal(asked.length, 4)
    damaged.found('new')
    asked.shift()!.refuse()
    await turn()
    assert.equal(asked.at(-1)!.cid, 'new')
    await settle('refuse')
    void damaged.repair()
    assert.deepEqual(
      asked.map(({ cid }) => cid),
      ['new', 'old 99', 'old 98', 'old 97']
    )
    await settle('refuse')
  })

  it('asks no more for what is needed no more, nor for what nobody gave for a day', async () => {
    const { damaged, asked, said, clock, settle } = held()
    damaged.found('forgotten')
    damaged.found('kept')
    await settle('refuse')
    damaged.forget('forgotten')
    clock.now = 24 * 60 * 60_000
    void damaged.repair()
    assert.deepEqual(
      asked.map(({ cid }) => cid),
      ['kept']
    )
    said.length = 0
    await settle('refuse')
    assert.deepEqual(said, ['block_not_repaired kept'])
    await damaged.repair()
    assert.equal(asked.length, 0)
  })

  it('gives up the oldest where too many are damaged, and says so once', async () => {
    const { damaged, said, settle } = held()
    for (let i = 0; i < 1_030; i++) damaged.found(`block ${i}`)
    assert.deepEqual(said.splice(0), ['block_not_repaired block 0'])
    await settle('give')
    assert.equal(said.includes('block_repaired block 1029'), true)
    assert.equal(said.includes('block_repaired block 5'), false)
  })
})
