import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { DEMO_SPEC, parseRunSpec, resolveManifest, signManifest } from '../../../../daemon/manifest.ts'
import { keptRoots } from '../../../../daemon/run/kept-roots.ts'
import { type KeptRound, Ledger } from '../../../../daemon/run/ledger.ts'
import { cidOf } from '../../../../protocols/cids.ts'
import { openStore, type Store } from '../../../../storage/index.ts'
import { putCbor } from '../../storage/stored-blocks.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const named = (text: string) => cidOf(Buffer.from(text), 0x71)

describe('keptRoots()', () => {
  const home = temporaryHome()
  let store: Store
  beforeEach(async () => {
    store = await openStore(home())
  })
  afterEach(async () => {
    await store.close()
  })

  /** A run whose manifest is here; its anchor and its tokenizer are named after it. */
  async function made(name: string): Promise<string> {
    const key = await generateKeyPair('Ed25519')
    const tokenizer = { kind: 'json' as const, vocabulary: 257, json: named(`tokenizer ${name}`) }
    const resolution = { author: peerIdFromPrivateKey(key).toString(), tokenizer, anchor: named(`genesis ${name}`) }
    const { cid, bytes } = await signManifest(resolveManifest(parseRunSpec(DEMO_SPEC), resolution), key)
    await store.blocks.put(cid, bytes)
    return cid
  }
  /** Adopts one round of a run, whose anchor and one body are named after it. */
  async function adopted(run: string, name: string): Promise<void> {
    const contributions = [{ cid: named('c'), body: named(`body ${name}`), peer: 'p', round: 1, tokens: 1, age: 0 }]
    const facts = { round: 1, record: named(`record ${name}`), parent: run, anchor: named(`anchor ${name}`), closer: 'p' }
    const round: KeptRound = { ...facts, contributors: [], contributions, seconds: null, bytes: 0, adoptedAt: null, loss: null }
    await new Ledger(store, run).adopt(round, [round], round.round - 1)
  }
  const namesOf = (roots: string[], ...names: string[]) => assert.deepEqual([...roots].sort(), names.map(named).sort())

  it('names the files of every manifest, and the rounds of all runs but the one that forgets', async () => {
    const [mine, other] = [await made('mine'), await made('other')]
    await adopted(mine, 'mine')
    await adopted(other, 'other')
    const manifests = ['genesis mine', 'tokenizer mine', 'genesis other', 'tokenizer other']
    namesOf(await keptRoots(store, [], mine), ...manifests, 'anchor other', 'body other')
    namesOf(await keptRoots(store, [], other), ...manifests, 'anchor mine', 'body mine')
  })

  it('names those of a run that is only being joined, and nothing for what is no run', async () => {
    const [mine, joining] = [await made('mine'), await made('joining')]
    const noRun = await putCbor(store.blocks, { hello: 1 })
    const roots = await keptRoots(store, [joining, noRun, named('not here')], mine)
    namesOf(roots, 'genesis mine', 'tokenizer mine', 'genesis joining', 'tokenizer joining')
  })
})
