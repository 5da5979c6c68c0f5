import assert from 'node:assert/strict'
import { encodeBody, encodeBodyRoot, encodeStageIndex, fetchBody, listBodyBlocks } from '../../../../protocols/bodies/index.ts'

const bytes = (length: number, seed: number) => new Uint8Array(length).map((_, index) => index * seed)
const body = encodeBody([
  { name: 'embedding', tensors: [{ name: 'wte', shape: [100], bytes: bytes(100, 3) }] },
  { name: 'head', tensors: [{ name: 'ln_f', shape: [10], bytes: bytes(10, 7) }] }
])
const all = new Map(body.blocks.map(block => [block.cid, block.bytes]))

function storeOf(start: Map<string, Uint8Array>) {
  const held = new Map(start)
  const asked: string[][] = []
  const get = async (cid: string) => held.get(cid)
  const fetch = async (cids: string[]) => {
    asked.push(cids.filter(cid => !held.has(cid)))
    for (const cid of cids) if (all.has(cid)) held.set(cid, all.get(cid)!)
    return { missing: cids.filter(cid => !held.has(cid)) }
  }
  return { held, asked, get, fetch }
}

describe('walking a body', () => {
  it('lists every block once', async () => {
    const { get } = storeOf(all)
    const { blocks, missing } = await listBodyBlocks(body.root, get)
    assert.deepEqual(new Set(blocks), new Set(all.keys()))
    assert.deepEqual(missing, [])
  })

  it('lists what is known of a part', async () => {
    const { get } = storeOf(new Map([[body.root, all.get(body.root)!]]))
    const { blocks, missing } = await listBodyBlocks(body.root, get)
    assert.equal(blocks.length, 3)
    assert.equal(missing.length, 2)
  })

  it('reads an index once to list what it names, however many stages share it, and no more of a body than would be fetched', async () => {
    const index = encodeStageIndex({
      tensors: [{ name: 'ln_f', shape: [10], size: 10, chunks: body.blocks.slice(0, 1).map(({ cid }) => cid) }]
    })
    const shared = encodeBodyRoot({ stages: Array.from({ length: 4096 }, (_, n) => ({ name: `s${n}`, index: index.cid })) })
    // Each of its own, of 4,096 tensors without bytes: the 33rd is one too many.
    const empty = (n: number) => Array.from({ length: 4096 }, (_, t) => ({ name: `${n}-${t}`, shape: [0], size: 0, chunks: [] }))
    const many = Array.from({ length: 40 }, (_, n) => encodeStageIndex({ tensors: empty(n) }))
    const large = encodeBodyRoot({ stages: many.map(({ cid }, n) => ({ name: `s${n}`, index: cid })) })
    const blocks = new Map([index, shared, ...many, large].map(block => [block.cid, block.bytes]))
    let reads = 0
    const get = async (cid: string) => {
      reads += 1
      return blocks.get(cid)
    }
    assert.equal((await listBodyBlocks(shared.cid, get)).blocks.length, 3)
    assert.equal(reads, 2)
    await assert.rejects(listBodyBlocks(large.cid, get), { code: 'message_too_large' })
    assert.equal(reads, 2 + 1 + 33)
  })

  it('fetches level by level, one call a level', async () => {
    const store = storeOf(new Map())
    assert.deepEqual(await fetchBody(body.root, store), { missing: [] })
    assert.deepEqual(
      store.asked.map(cids => cids.length),
      [1, 2, 2]
    )
    assert.deepEqual(new Set(store.held.keys()), new Set(all.keys()))
  })

  it('fetches one stage alone', async () => {
    const store = storeOf(new Map())
    await fetchBody(body.root, store, { stages: ['head'] })
    assert.equal(store.held.size, 3)
  })

  it('refuses a body that weighs more than it may before it asks for chunks', async () => {
    const store = storeOf(new Map())
    await assert.rejects(fetchBody(body.root, store, { totalBytesMax: 109 }), { code: 'message_too_large' })
    assert.equal(store.asked.length, 2)
  })

  it('says how long each chunk is to be, and refuses a body that says two things of one', async () => {
    const MIB = 1024 * 1024
    const long = encodeBody([
      { name: 'a', tensors: [{ name: 'large', shape: [], bytes: new Uint8Array(2 * MIB + 5) }] },
      {
        name: 'b',
        tensors: [
          { name: 'empty', shape: [0], bytes: new Uint8Array(0) },
          { name: 'exact', shape: [], bytes: new Uint8Array(MIB) }
        ]
      }
    ])
    const blocks = new Map(long.blocks.map(block => [block.cid, block.bytes]))
    const get = async (cid: string) => blocks.get(cid)
    let lengths: ReadonlyMap<string, number> | undefined
    const fetch = async (_: string[], told?: ReadonlyMap<string, number>) => {
      lengths = told
      return { missing: [] }
    }
    await fetchBody(long.root, { get, fetch })
    assert.deepEqual([...lengths!.values()], [MIB, 5])
    for (const [cid, length] of lengths!) assert.equal(blocks.get(cid)!.length, length)
    const chunk = [...lengths!.keys()][0]!
    const tensors = [1, 2].map(size => ({ name: `t${size}`, shape: [size], size, chunks: [chunk] }))
    const index = encodeStageIndex({ tensors })
    const root = encodeBodyRoot({ stages: [{ name: 'stage', index: index.cid }] })
    for (const { cid, bytes } of [index, root]) blocks.set(cid, bytes)
    await assert.rejects(fetchBody(root.cid, { get, fetch }), { code: 'bad_message' })
  })

  it('stops asking for indexes when they outweigh what the body may weigh', async () => {
    // Tensors of no bytes and long names: about 900 KiB of index a stage, and nothing to fetch.
    const stages = Array.from({ length: 40 }, (_, stage) => ({
      name: `s${stage}`,
      tensors: Array.from({ length: 3300 }, (_, n) => ({ name: `${stage}-${n}-`.padEnd(250, 'x'), shape: [0], bytes: new Uint8Array(0) }))
    }))
    const heavy = encodeBody(stages)
    const blocks = new Map(heavy.blocks.map(block => [block.cid, block.bytes]))
    const asked: string[] = []
    const fetch = async (cids: string[]) => {
      asked.push(...cids)
      return { missing: [] }
    }
    await assert.rejects(fetchBody(heavy.root, { get: async cid => blocks.get(cid), fetch }, { totalBytesMax: 1000 }), {
      code: 'message_too_large'
    })
    assert.ok(asked.length < 25, `asked for ${asked.length} of 41 indexes`)
    const tooMany = fetchBody(heavy.root, { get: async cid => blocks.get(cid), fetch })
    await assert.rejects(tooMany, /131073 tensors or more/)
  })
})
