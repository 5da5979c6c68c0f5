// A node's writing without its network, for ever: memberships, own contributions, anchors, records, adopted rounds, what is forgotten, events and the
// trainer's state, each by the code that the daemon does it with. Says on standard output what has become durable; crash.test.ts kills it in the midst.
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { Arithmetic } from '../../../../daemon/arithmetic/arithmetic.ts'
import { EventLog } from '../../../../daemon/events.ts'
import { openHome } from '../../../../daemon/home.ts'
import { loadIdentity, peerOf } from '../../../../daemon/identity.ts'
import type { Manifest } from '../../../../daemon/manifest.ts'
import { OwnContributions } from '../../../../daemon/run/contributing.ts'
import { type KeptRound, Ledger, type Membership } from '../../../../daemon/run/ledger.ts'
import { Retention } from '../../../../daemon/run/retention.ts'
import { deltaFile, trainerFolder } from '../../../../daemon/trainer/delta-files.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { signRecord } from '../../../../protocols/rounds/index.ts'
import { makeFolder, storedTensor, writeSafetensorsFile } from '../../../../storage/index.ts'
import { STAGES, tensorsOf, writeTensors } from '../arithmetic/small-mesh.ts'

const KEEP_ROUNDS = 4
const STATE_VALUES = 500_000

const [home, life] = process.argv.slice(2) as [string, string]
const run = cidOf(new Uint8Array([7]), DAG_CBOR)
const acknowledge = (...words: (string | number)[]): void => {
  writeSync(1, `${words.join(' ')}\n`)
}

acknowledge('opening', home)
const store = await openHome(home)
const privateKey = await loadIdentity(home)
const peer = peerOf(privateKey)
acknowledge('identity', peer)
const events = await EventLog.open(
  { events: store.records.table('events'), reasons: store.records.table('reasons') },
  { kept: 200, reasonsKept: 200 }
)
const arithmetic = new Arithmetic({ home })
const ledger = new Ledger(store, run)
const directory = join(home, 'runs', run)
await makeFolder(trainerFolder(directory))
const strategy = { outer: { name: 'averaging' } } as const
const manifest = { strategy: { codec: { name: 'int8' } } } as Manifest // all that is read of it
const genesis = await arithmetic.safetensorsToAnchor({ tensors: tensorsOf(1, 1), stages: STAGES, strategy })
const retention = new Retention(store.blocks, genesis.anchor)
const own = new OwnContributions({
  ...{ run, peer, manifest, directory, stages: STAGES, privateKey, ledger },
  ...{ blocks: store.blocks, arithmetic, retention, admittance: null },
  failed: (what, error) => {
    throw new Error(what, { cause: error })
  }
})

/** One contribution a round, each round adopted before the next, as a node does that trains alone. */
async function writeRounds(): Promise<never> {
  await retention.resume(ledger, KEEP_ROUNDS)
  for (;;) {
    const { record: parent, round: last, anchor } = (await ledger.head()) ?? { record: run, round: 0, anchor: genesis.anchor }
    const sequence = ((await own.newest())?.sequence ?? 0) + 1
    const round = last + 1
    await writeTensors(deltaFile(trainerFolder(directory), sequence), tensorsOf(sequence, 0.01))
    const made = await own.made({ sequence, round, steps: 1, tokens: 10, loss: 1 }, parent)
    acknowledge('made', sequence)
    const { cid, contribution } = await own.offer(made, anchor)
    acknowledge('offered', sequence, cid, contribution.body)
    const { body, codec, norm } = contribution
    const part = { body, codec, author: peer, tokens: 10, age: 0, norm }
    const next = await arithmetic.nextAnchor({ parentAnchor: anchor, contributions: [part], strategy })
    retention.came(next.anchor, round)
    const signed = await signRecord({ run, round, parent, contributions: [cid], anchor: next.anchor, closer: peer }, privateKey)
    await store.blocks.put(signed.cid, signed.bytes, { durable: true })
    const kept: KeptRound = {
      ...{ round, record: signed.cid, parent, anchor: next.anchor, closer: peer, seconds: 1, bytes: 1, adoptedAt: '', loss: 1 },
      contributors: [{ peer, tokens: 10, loss: 1, age: 0 }],
      contributions: [{ cid, body: contribution.body, peer, round, tokens: 10, age: 0 }]
    }
    await ledger.adopt({ record: signed.cid, round, anchor: next.anchor }, [kept], round - 1)
    acknowledge('adopted', round, signed.cid, next.anchor)
    await own.settle(cid, 'included')
    acknowledge('included', sequence)
    await retention.forget(await ledger.rounds(KEEP_ROUNDS), await own.open(), [])
  }
}

async function writeEvents(): Promise<never> {
  for (let n = 0; ; n++) {
    const { id } = events.emit({ type: 'run', code: 'waiting_for_quorum', message: `${life} ${n}` })
    // A burst is written in one go.
    if (n % 3 !== 0) continue
    await events.flush()
    acknowledge('event', id, life, n)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

async function writeMemberships(): Promise<never> {
  for (let n = 0; ; n++) {
    const paused = n % 2 === 1
    const membership: Membership = { run, train: true, paused, data: [life], engine: 'traced', threads: n, joinedAt: '' }
    await store.records.table<Membership>('runs').put(run, membership, { sync: true })
    acknowledge('membership', life, n)
    await new Promise(resolve => setTimeout(resolve, 3))
  }
}

/** Large enough that a kill nearly always finds it half-written. */
async function writeState(): Promise<never> {
  const file = join(directory, 'trainer', 'state.safetensors')
  for (let n = 0; ; n++) {
    const value = Number(life) * 10_000 + n
    await writeSafetensorsFile(file, [storedTensor('x', [STATE_VALUES], new Float32Array(STATE_VALUES).fill(value))], { n: String(value) })
    acknowledge('state', value)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

await Promise.all([writeRounds(), writeEvents(), writeMemberships(), writeState()])
