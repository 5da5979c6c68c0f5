// A node is killed at any instant of any write, life after life in one home: it opens again, has all that was durable, and goes on from there.
// SHOAL_CRASH_LIVES=200 for as many lives, SHOAL_CRASH_SEED to repeat the instants of a failure.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EventLog } from '../../../../daemon/events.ts'
import { openHome } from '../../../../daemon/home.ts'
import { loadIdentity, peerOf } from '../../../../daemon/identity.ts'
import { Ledger, type Membership } from '../../../../daemon/run/ledger.ts'
import { pastAfter } from '../../../../daemon/run/restart.ts'
import { listBodyBlocks } from '../../../../protocols/bodies/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { readSafetensorsFile, type Store } from '../../../../storage/index.ts'
import { powerCut } from '../../storage/power-cut.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const DEFAULT_LIVES = 3
const LIVES = Number(process.env.SHOAL_CRASH_LIVES ?? DEFAULT_LIVES)
const SEED = Number(process.env.SHOAL_CRASH_SEED ?? Date.now() % 1_000_000)
/** Lives more where all kills came before there was much to lose: when they come is drawn, what they meet is the machine's. */
const MORE_LIVES = 20
/** Lives in one home; the whole history is read after each. */
const LIVES_PER_HOME = 40
const WRITER = join(import.meta.dirname, 'crash-writer-process.js')
const WATCHED_DISK = new URL('../../storage/watched-disk.js', import.meta.url).href
/** Milliseconds within which a writer is killed: some rounds on a quiet machine, a part of one on a busy one. */
const LIFE_MS = 600
/** Bytes that a home may have: a few anchors and bodies, deltas and states of 2 MB, logs of Level. */
const HOME_BYTES_MAX = 120e6
const RUN = cidOf(new Uint8Array([7]), DAG_CBOR)

function seeded(seed: number): () => number {
  let state = seed | 1
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state / 0x80000000
  }
}

/** Killed so many milliseconds after it first said this. */
interface Death {
  mark: string
  lifeMs: number
}

function drawn(random: () => number): Death {
  // How long opening and a round take depends on the machine: so some lives end while opening, some in the first round, most behind it.
  const mark = random() < 0.2 ? 'opening' : random() < 0.4 ? 'made' : 'adopted'
  return { mark, lifeMs: Math.floor(random() * LIFE_MS) }
}

/** @param log where it shall be written down what the disk was told, for a power cut */
async function liveAndDie(home: string, life: number, { mark, lifeMs }: Death, log?: string): Promise<string[][]> {
  const watched = log === undefined ? [] : ['--import', WATCHED_DISK]
  const env = { ...process.env, ...(log === undefined ? {} : { SHOAL_DISK_LOG: log }) }
  const writer = spawn(process.execPath, [...watched, WRITER, home, String(life)], { stdio: ['ignore', 'pipe', 'inherit'], env })
  const exited = once(writer, 'exit')
  let said = ''
  let killer: NodeJS.Timeout | undefined
  for await (const text of writer.stdout.setEncoding('utf8')) {
    said += text
    if (said.includes(`${mark} `)) killer ??= setTimeout(() => writer.kill('SIGKILL'), lifeMs)
  }
  clearTimeout(killer)
  const [code, signal] = (await exited) as [number | null, string | null]
  assert.deepEqual({ code, signal }, { code: null, signal: 'SIGKILL' }, 'it died of nothing but the kill')
  const lines = said.split('\n').slice(0, -1)
  return lines.map(line => line.split(' '))
}

/** What was promised and holds for ever, or until a newer one of its kind. */
class Promises {
  readonly #newest = new Map<string, string[]>()
  readonly #offered = new Map<string, string[]>()

  add(words: string[]): void {
    const [kind, ...facts] = words as [string, ...string[]]
    if (kind === 'opening') return
    this.#newest.set(kind, facts)
    if (kind === 'offered') this.#offered.set(facts[0]!, facts)
  }

  async check(home: string): Promise<void> {
    const store = await openHome(home)
    try {
      const damaged: string[] = []
      store.blocks.onCorrupt(cid => damaged.push(cid))
      await this.#checkNode(home, store)
      await this.#checkRun(store)
      await this.#checkState(home)
      for await (const { cid } of store.blocks.list()) await store.blocks.get(cid)
      assert.deepEqual(damaged, [], 'every block is what it is named for')
    } finally {
      await store.close()
    }
  }

  async #checkNode(home: string, store: Store): Promise<void> {
    const [peer] = this.#newest.get('identity') ?? []
    if (peer !== undefined) assert.equal(peerOf(await loadIdentity(home)), peer)
    const log = await EventLog.open({ events: store.records.table('events'), reasons: store.records.table('reasons') })
    const [id, life, n] = this.#newest.get('event') ?? ['0', '', '']
    assert.ok(log.last >= Number(id), `event ${id} is there`)
    if (id !== '0') {
      const [event] = await log.since(Number(id) - 1, 1)
      assert.equal(event!.message, `${life} ${n}`)
      const codes = await log.why('waiting_for_quorum')
      assert.ok(codes.some(event => event.id === Number(id)) || codes.at(-1)!.id - Number(id) > 150, 'its reason is there')
    }
    const [joined, count] = this.#newest.get('membership') ?? []
    const membership = await store.records.table<Membership>('runs').get(RUN)
    if (joined === undefined) return
    assert.ok(membership !== undefined)
    // A later one may have been written and not said.
    if (membership.data[0] === joined) assert.ok(membership.threads! >= Number(count))
    else assert.ok(Number(membership.data[0]) > Number(joined))
  }

  async #checkRun(store: Store): Promise<void> {
    const ledger = new Ledger(store, RUN)
    const head = (await ledger.head()) ?? { round: 0, record: RUN, anchor: '' }
    const [round, record, anchor] = this.#newest.get('adopted') ?? ['0', RUN, '']
    assert.ok(head.round >= Number(round), `round ${round} is adopted: the head is ${head.round}`)
    if (head.round === Number(round) && round !== '0') assert.deepEqual([head.record, head.anchor], [record, anchor])
    const past = await pastAfter({ ledger, blocks: store.blocks })
    assert.equal(past.records.length, head.round, 'all records of the history are there')
    assert.equal(past.contributions.length, head.round, 'and all contributions in them')
    const own = await ledger.own(Number.MAX_SAFE_INTEGER)
    for (const [sequence, cid, body] of this.#offered.values()) {
      const row = own.find(row => row.sequence === Number(sequence))
      assert.deepEqual([row?.cid, row?.body], [cid, body])
      assert.ok(await store.blocks.get(cid!), `contribution ${cid}`)
    }
    const [made] = this.#newest.get('made') ?? ['0']
    assert.ok((own[0]?.sequence ?? 0) >= Number(made))
    for (const { anchor, contributions } of await ledger.rounds(4))
      for (const root of [anchor, ...contributions.map(({ body }) => body)]) await assertWhole(store, root)
    for (const { fate, body } of own) if (fate === 'offered') await assertWhole(store, body!)
  }

  async #checkState(home: string): Promise<void> {
    const [value] = this.#newest.get('state') ?? []
    if (value === undefined) return
    const { metadata, tensors } = await readSafetensorsFile(join(home, 'runs', RUN, 'trainer', 'state.safetensors'))
    assert.ok(Number(metadata.n) >= Number(value), 'the last state written, or the one after it')
    const { bytes } = tensors[0]!
    assert.ok(new Float32Array(bytes.buffer, bytes.byteOffset).every(number => number === Number(metadata.n)))
  }
}

async function assertWhole(store: Store, root: string): Promise<void> {
  const { blocks, missing } = await listBodyBlocks(root, cid => store.blocks.get(cid))
  assert.deepEqual(missing, [])
  for (const cid of blocks) assert.ok(await store.blocks.get(cid), `block ${cid} of ${root}`)
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

describe('a node that is killed while it writes', () => {
  const folder = temporaryHome()

  for (const powerFails of [false, true]) {
    const what = powerFails ? 'and what the disk was not told to keep is gone' : 'and the disk keeps all'
    it(`has all that was durable, ${LIVES} times, ${what} (seed ${SEED})`, async function () {
      this.timeout(60_000 + (LIVES + MORE_LIVES) * 30_000)
      const random = seeded(SEED)
      let promises = new Promises()
      let [kept, rounds] = [0, 0]
      let most = 0
      let lost = 0
      const isUntouched = (): boolean => kept <= LIVES || (powerFails && lost === 0)
      for (let life = 1; life <= LIVES || (isUntouched() && life <= LIVES + MORE_LIVES); life++) {
        const home = join(folder(), `home ${Math.floor((life - 1) / LIVES_PER_HOME)}`)
        if (life % LIVES_PER_HOME === 1) promises = new Promises()
        const log = powerFails ? join(folder(), `disk-${life}.log`) : undefined
        const said = await liveAndDie(home, life, drawn(random), log)
        for (const words of said) promises.add(words)
        kept += said.length
        rounds += said.filter(([kind]) => kind === 'adopted').length
        if (log !== undefined) lost += powerCut(home, log)
        await promises.check(home)
        const names = readdirSync(home, { recursive: true, encoding: 'utf8' })
        assert.deepEqual(
          names.filter(name => name.endsWith('tmp') && name.includes('.')),
          [],
          'nothing half-written stays'
        )
        const size = sizeOf(home)
        most = Math.max(most, size)
        assert.ok(size < HOME_BYTES_MAX, `the home has ${size} bytes after ${life} lives`)
      }
      if (powerFails) assert.ok(lost > 0, 'the disk had something to lose')
      assert.ok(kept > LIVES && (rounds > 0 || LIVES < 20), 'they were killed while they wrote')
      if (LIVES > DEFAULT_LIVES)
        console.log(
          `      ${LIVES} kills, ${kept} promises kept, ${rounds} rounds among them, ${lost} files lost or cut, at most ${Math.round(most / 1e6)} MB in the home`
        )
    })
  }
})
