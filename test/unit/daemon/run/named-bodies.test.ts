import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { DEMO_SPEC, parseRunSpec, resolveManifest } from '../../../../daemon/manifest.ts'
import { Fetcher } from '../../../../daemon/run/fetching.ts'
import { fetchNamedBodies, namedBodies } from '../../../../daemon/run/named-bodies.ts'
import { Retention } from '../../../../daemon/run/retention.ts'
import { encodeBody } from '../../../../protocols/bodies/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { type BlockStore, openBlockFiles } from '../../../../storage/index.ts'
import { parameterCount } from '../../../../training/models/sizes.ts'
import { countBlocks } from '../../storage/stored-blocks.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const named = (text: string) => cidOf(Buffer.from(text), DAG_CBOR)

describe('what a manifest names', () => {
  const home = temporaryHome()
  let blocks: BlockStore
  let asked: string[]
  let offered: Map<string, Uint8Array>
  beforeEach(async () => {
    blocks = await openBlockFiles(home())
    asked = []
    offered = new Map()
  })
  afterEach(async () => {
    await blocks.close()
  })

  /** Somebody has a body of this size. */
  function body(name: string, size: number): string {
    const { root, blocks: made } = encodeBody([
      { name: 'stage', tensors: [{ name: 't', shape: [size], bytes: new Uint8Array(size).fill(name.length) }] }
    ])
    for (const { cid, bytes } of made) offered.set(cid, bytes)
    return root
  }
  const fetcher = () =>
    new Fetcher(
      {
        fetch: async cids => {
          asked.push(...cids)
          for (const cid of cids) await blocks.put(cid, offered.get(cid)!)
          return { missing: [] }
        }
      },
      blocks
    )
  const options = { from: () => ['liar'], signal: new AbortController().signal, timeoutMs: 1_000 }

  it('namedBodies() gives each with what it may weigh: the anchor what its model has, and the state that its strategy keeps beside it', async () => {
    const manifest = resolveManifest(parseRunSpec(DEMO_SPEC), {
      author: peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString(),
      tokenizer: { kind: 'json', vocabulary: 257, json: named('tokenizer') },
      anchor: named('anchor')
    })
    const files = [{ name: 'a.txt', file: named('file') }]
    const withOuter = (outer: typeof manifest.strategy.outer) =>
      namedBodies({ ...manifest, data: { corpus: 'files', files } as typeof manifest.data, strategy: { ...manifest.strategy, outer } })
    const [anchor, tokenizer, file] = withOuter({ name: 'averaging' })
    assert.deepEqual(
      [anchor, tokenizer, file].map(each => each?.root),
      [named('anchor'), named('tokenizer'), named('file')]
    )
    assert.equal(anchor!.bytesMax, 4 * parameterCount(manifest.model))
    assert.equal(withOuter({ name: 'nesterov', learningRate: 0.7, momentum: 0.9 })[0]!.bytesMax, 8 * parameterCount(manifest.model))
  })

  it('fetchNamedBodies() refuses what is larger before its tensors are asked for, and leaves nothing of it', async () => {
    const kept = body('kept', 300)
    await fetcher().body(kept, options)
    const before = await countBlocks(blocks)
    const bodies = [
      { what: 'what others keep', root: kept, bytesMax: 300 },
      { what: 'an honest anchor', root: body('honest', 400), bytesMax: 400 },
      { what: 'a huge tokenizer', root: body('huge tokenizer', 501), bytesMax: 500 }
    ]
    const brought = new Retention(blocks, named('run'))
    asked = []
    await assert.rejects(fetchNamedBodies(bodies, fetcher(), brought, options), {
      code: 'run_too_large',
      message: /a huge tokenizer.*at most 500/
    })
    assert.equal(asked.filter(cid => offered.get(cid)!.length === 501).length, 0)
    await brought.forget([], [], [])
    assert.equal(await countBlocks(blocks), before)
    bodies[2]!.bytesMax = 501
    await fetchNamedBodies(bodies, fetcher(), new Retention(blocks, named('run')), options)
    for (const { root } of bodies) assert.equal(await fetcher().isWhole(root), true)
  })
})
