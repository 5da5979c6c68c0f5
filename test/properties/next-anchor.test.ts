// Laws of the next anchor over blocks in memory: it depends on the record's list and nothing else.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import fc from 'fast-check'
import { anchorToSafetensors } from '../../daemon/arithmetic/anchor-files.ts'
import { checkContribution, KnownNorms } from '../../daemon/arithmetic/check-contribution.ts'
import { READ_AHEAD_MAX } from '../../daemon/arithmetic/constants.ts'
import { nextAnchor } from '../../daemon/arithmetic/next-anchor.ts'
import { isCodedError } from '../../daemon/errors.ts'
import { cidOf, DAG_CBOR, RAW } from '../../protocols/cids.ts'
import { floatsOf, readSafetensorsFile } from '../../storage/index.ts'
import { contribute, genesis, MemoryBlocks, temporaryFolder, tensorsOf } from '../unit/daemon/arithmetic/small-mesh.ts'
import { oneStep } from '../unit/training/outer/one-step.ts'

const NESTEROV = { outer: { name: 'nesterov', learningRate: 0.7, momentum: 0.9 } } as const
const DAG_CBOR_PREFIX = 'bafyrei'

/** Answers after a time of its own for each block, so that chunks arrive in any order. */
class LateBlocks extends MemoryBlocks {
  delay: (cid: string) => number = () => 0

  override async get(cid: string): Promise<Uint8Array | undefined> {
    const delay = this.delay(cid)
    if (delay > 0) await new Promise(resolve => setTimeout(resolve, delay))
    return super.get(cid)
  }
}

/** Counts what it is asked for, by block. */
class CountedBlocks extends MemoryBlocks {
  readonly asked = new Map<string, number>()

  override async get(cid: string): Promise<Uint8Array | undefined> {
    this.asked.set(cid, (this.asked.get(cid) ?? 0) + 1)
    return super.get(cid)
  }
}

describe('nextAnchor()', function () {
  this.timeout(60_000)
  const folder = temporaryFolder()

  it('does not depend on how or when chunks arrived', async () => {
    const origin = new MemoryBlocks()
    const { anchor } = await genesis(origin, NESTEROV)
    const contributions = []
    for (const [seed, codec] of [
      [1, 'int8'],
      [2, 'f32'],
      [3, 'topk']
    ] as const) {
      const { body, norm } = await contribute(origin, folder(), { seed, codec })
      contributions.push({ body, codec, author: `${seed}`, tokens: 10 * seed, age: seed === 2 ? 1 : 0, norm })
    }
    const held = [...origin.blocks]
    const request = { parentAnchor: anchor, contributions, strategy: NESTEROV }
    const want = await nextAnchor({ blocks: origin }, request)
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(held, { minLength: held.length }),
        fc.array(fc.nat(4), { minLength: 8, maxLength: 8 }),
        async (order, delays) => {
          const blocks = new LateBlocks()
          for (const [cid, bytes] of order) await blocks.put(cid, bytes)
          blocks.delay = cid => delays[cid.charCodeAt(cid.length - 2) % delays.length]!
          assert.deepEqual(await nextAnchor({ blocks }, request), want)
        }
      ),
      { numRuns: 6 }
    )
  })

  it('gives the same bits again', async () => {
    const blocks = new MemoryBlocks()
    const { anchor } = await genesis(blocks, NESTEROV)
    const contributions = []
    for (const seed of [1, 2, 3]) {
      const { body, norm } = await contribute(blocks, folder(), { seed, codec: 'int8' })
      contributions.push({ body, codec: 'int8', author: `${seed}`, tokens: seed, age: 0, norm })
    }
    const one = await nextAnchor({ blocks }, { parentAnchor: anchor, contributions, strategy: NESTEROV })
    const same = await nextAnchor({ blocks }, { parentAnchor: anchor, contributions: [...contributions], strategy: NESTEROV })
    assert.equal(one.anchor, same.anchor)
  })

  for (const aggregation of [
    { name: 'mean' },
    { name: 'trimmedMean', trim: 1 },
    { name: 'median' },
    { name: 'centeredClip', tau: { times: 1 }, iterations: 2 }
  ] as const)
    it(`by ${aggregation.name} gives over stages, tensors and slices the bits of the whole`, async () => {
      const blocks = new MemoryBlocks()
      const strategy = { outer: NESTEROV.outer, aggregation }
      const flat = (tensors: { values: Float32Array }[]) => Float32Array.from(tensors.flatMap(({ values }) => [...values]))
      const start = flat(tensorsOf(1, 1))
      const contributions = []
      const given = []
      for (const [seed, author, age] of [
        [1, 'a', 0],
        [2, 'b', 1],
        [3, 'b', 0],
        [4, 'c', 0]
      ] as const) {
        const { body, norm } = await contribute(blocks, folder(), { seed, codec: 'f32' })
        contributions.push({ body, codec: 'f32', author, tokens: 100 * seed, age, norm })
        given.push({ author, tokens: 100 * seed, age, norm, delta: flat(tensorsOf(1000 + seed, 0.01)) })
      }
      let { anchor } = await genesis(blocks, strategy)
      let want = { anchor: start, state: { momentum: new Float32Array(start.length), aggregate: new Float32Array(start.length) } }
      // Twice, so that what is kept between rounds plays its part.
      for (const _ of [1, 2]) {
        anchor = (await nextAnchor({ blocks }, { parentAnchor: anchor, contributions, strategy })).anchor
        want = oneStep(strategy, want.anchor, want.state, given) as typeof want
      }
      const file = join(folder(), 'anchor')
      await anchorToSafetensors({ blocks }, { anchor, file })
      const got = flat((await readSafetensorsFile(file)).tensors.map(tensor => ({ values: floatsOf(tensor) })))
      assert.deepEqual(Buffer.from(got.buffer).compare(Buffer.from(want.anchor.buffer)), 0)
    })

  for (const aggregation of [{ name: 'mean' }, { name: 'median' }] as const)
    it(`by ${aggregation.name} reads once what a crowd names alike, and gives the bits of reading it for each`, async () => {
      const blocks = new CountedBlocks()
      const strategy = { outer: { name: 'averaging' }, aggregation } as const
      const flat = (tensors: { values: Float32Array }[]) => Float32Array.from(tensors.flatMap(({ values }) => [...values]))
      const made = []
      for (const seed of [1, 2]) {
        const { body, norm, blocks: own } = await contribute(blocks, folder(), { seed, codec: 'f32' })
        made.push({ body, norm, chunks: own.filter(cid => !cid.startsWith(DAG_CBOR_PREFIX)), delta: flat(tensorsOf(1000 + seed, 0.01)) })
      }
      const contributions = []
      const given = []
      // More than are read ahead, another among them.
      for (let i = 0; i <= READ_AHEAD_MAX; i++) {
        const { body, delta, norm } = made[i === 3 ? 1 : 0]!
        const facts = { author: `author ${i}`, tokens: 10 + i, age: 0, norm }
        contributions.push({ ...facts, body, codec: 'f32' })
        given.push({ ...facts, delta })
      }
      const { anchor: parentAnchor } = await genesis(blocks, strategy)
      blocks.asked.clear()
      const { anchor } = await nextAnchor({ blocks }, { parentAnchor, contributions, strategy })
      for (const cid of made.flatMap(({ chunks }) => chunks)) assert.equal(blocks.asked.get(cid), 1)
      const file = join(folder(), 'anchor')
      await anchorToSafetensors({ blocks }, { anchor, file })
      const got = flat((await readSafetensorsFile(file)).tensors.map(tensor => ({ values: floatsOf(tensor) })))
      const want = oneStep(strategy, flat(tensorsOf(1, 1)), {}, given).anchor
      assert.equal(Buffer.from(got.buffer).compare(Buffer.from(want.buffer)), 0)
    })

  it('throws nothing but coded errors, and checks answer by reason, whatever a body’s bytes are', async () => {
    const blocks = new MemoryBlocks()
    const { anchor } = await genesis(blocks, NESTEROV)
    const { body, norm, blocks: own } = await contribute(blocks, folder(), { seed: 1, codec: 'topk' })
    await fc.assert(
      fc.asyncProperty(
        fc.nat(own.length - 1),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (which, changes, cut) => {
          // The author hashes his own bytes: put the changed block and every index above it under their true names.
          const spoiled = new MemoryBlocks()
          for (const [cid, bytes] of blocks.blocks) spoiled.blocks.set(cid, bytes)
          const victim = own[which]!
          let bytes = new Uint8Array(blocks.blocks.get(victim)!)
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte
          if (cut) bytes = bytes.subarray(0, bytes.length - 1)
          const root = await rename(spoiled, own, victim, bytes, body)
          let accepted = false
          try {
            const reason = await checkContribution(
              { blocks: spoiled, norms: new KnownNorms() },
              { body: root, codec: 'topk', norm, parentAnchor: anchor }
            )
            // Bytes that are another contribution of the same norm (a kept value at another place) are as good as any.
            accepted = reason === null
          } catch (error) {
            assert.ok(isCodedError(error), `not a coded error: ${error}`)
          }
          const contributions = [{ body: root, codec: 'topk', author: '1', tokens: 1, age: 0, norm }]
          await nextAnchor({ blocks: spoiled }, { parentAnchor: anchor, contributions, strategy: NESTEROV }).catch(error => {
            assert.ok(isCodedError(error), `not a coded error: ${error}`)
            assert.ok(!accepted, `accepted by the check, refused by the sum: ${error}`)
          })
        }
      ),
      { numRuns: 60 }
    )
  })
})

/** Replaces a block by other bytes and every mention of its CID in the blocks above it; gives the new root. */
async function rename(blocks: MemoryBlocks, own: string[], victim: string, bytes: Uint8Array, root: string): Promise<string> {
  const cid = cidOf(bytes, victim.startsWith(DAG_CBOR_PREFIX) ? DAG_CBOR : RAW)
  await blocks.put(cid, bytes)
  if (victim === root) return cid
  const { CID } = await import('multiformats/cid')
  const [from, to] = [CID.parse(victim).bytes, CID.parse(cid).bytes]
  for (const index of own.filter(name => name.startsWith(DAG_CBOR_PREFIX) && name !== victim)) {
    const above = Buffer.from(blocks.blocks.get(index)!)
    const at = above.indexOf(from)
    if (at < 0) continue
    above.set(to, at)
    return await rename(blocks, own, index, new Uint8Array(above), root)
  }
  throw new Error(`nobody names ${victim}`)
}
