import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { DEMO_SPEC, type Manifest, parseRunSpec, resolveManifest, signManifest } from '../../../../daemon/manifest.ts'
import { Fetcher } from '../../../../daemon/run/fetching.ts'
import { HeldCheckpoints } from '../../../../daemon/run/held-checkpoints.ts'
import { type Head, type KeptRound, Ledger } from '../../../../daemon/run/ledger.ts'
import { encodeBody } from '../../../../protocols/bodies/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { openStore, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

describe('HeldCheckpoints', () => {
  const home = temporaryHome()
  let store: Store
  let held: HeldCheckpoints
  let run: string
  let manifest: Manifest
  beforeEach(async () => {
    store = await openStore(home())
    held = new HeldCheckpoints(store, new Fetcher({ fetch: async cids => ({ missing: cids }) }, store.blocks))
    const key = await generateKeyPair('Ed25519')
    const author = peerIdFromPrivateKey(key).toString()
    const tokenizer = { kind: 'bytes' as const, vocabulary: 257, json: null }
    manifest = resolveManifest(parseRunSpec(DEMO_SPEC), { author, tokenizer, anchor: await anchor('first') })
    const signed = await signManifest(manifest, key)
    await store.blocks.put(signed.cid, signed.bytes)
    run = signed.cid
  })
  afterEach(async () => {
    await store.close()
  })

  async function anchor(text: string, { lacking = 0 } = {}): Promise<string> {
    const { root, blocks } = encodeBody([{ name: 'stage', tensors: [{ name: 't', shape: [text.length], bytes: Buffer.from(text) }] }])
    for (const { cid, bytes } of blocks.slice(lacking)) await store.blocks.put(cid, bytes)
    return root
  }

  /** Rounds from the first on, each with its anchor. */
  async function adopt(...anchors: string[]): Promise<void> {
    const rounds = anchors.map((anchor, i): KeptRound => {
      const [record, parent] = [`record ${i + 1}`, `record ${i}`]
      const told = { contributors: [], contributions: [], seconds: null, bytes: 0, adoptedAt: null, loss: null }
      return { round: i + 1, record, parent, anchor, closer: 'p', ...told }
    })
    const { record, round, anchor: newest } = rounds.at(-1)!
    await new Ledger(store, run).adopt({ record, round, anchor: newest }, rounds, 0)
  }
  const roundsHeld = async () => (await held.rows()).map(({ round }) => round)
  const chosenRound = async (round?: number) => (await held.chosen(run, manifest, round)).round

  it('lists what is whole here of a run, whether or not this node is in it, and what was fetched of it, each once', async () => {
    const fetched = await anchor('fetched')
    const third = await anchor('third')
    await adopt(cidOf(Buffer.from('never here'), DAG_CBOR), await anchor('torn', { lacking: 1 }), third)
    const heads = store.records.table<Head>('heads')
    await heads.put(`${run}/3`, { record: 'record 3', round: 3, anchor: third })
    await heads.put(`${run}/99`, { record: 'record 99', round: 99, anchor: fetched })
    assert.deepEqual(await held.rows(), [
      { run, round: 3, record: 'record 3', anchor: third, bytes: 5 },
      { run, round: 99, record: 'record 99', anchor: fetched, bytes: 7 }
    ])
  })

  it('lists no more rounds than a run keeps', async () => {
    const anchors = await Promise.all(Array.from({ length: 12 }, (_, i) => anchor(`anchor ${i}`)))
    await adopt(...anchors)
    assert.deepEqual(await roundsHeld(), [12, 11, 10, 9, 8, 7, 6, 5])
  })

  it('chooses the first anchor where it is asked for, or where no round of the run is known here', async () => {
    assert.equal(await chosenRound(), 0)
    await adopt(await anchor('one'), await anchor('two'))
    assert.deepEqual([await chosenRound(), await chosenRound(1), await chosenRound(0)], [2, 1, 0])
  })

  it('names what to do where a round is not here, and takes no other for it', async () => {
    await adopt(cidOf(Buffer.from('never here'), DAG_CBOR))
    for (const [round, hint] of [
      [undefined, `shoal checkpoint fetch ${run}`],
      [1, `shoal checkpoint fetch ${run} --round 1`],
      [7, `shoal checkpoint fetch ${run} --round 7`]
    ] as const) {
      await assert.rejects(held.chosen(run, manifest, round), { code: 'unknown_round', hint })
    }
    await store.blocks.delete(manifest.genesis.anchor)
    await assert.rejects(held.chosen(run, manifest, 0), { code: 'unknown_round' })
  })
})
