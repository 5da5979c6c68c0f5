// A process that writes is killed at any instant: the home opens again, holds all that was acknowledged, and nothing half-written.
// SHOAL_CRASH_LIVES=200 for as many lives.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openStore, readSafetensorsFile } from '../../../storage/index.ts'
import { readCheckpoint } from './read-checkpoint.ts'
import { temporaryHome } from './temporary-home.ts'

const LIVES = Number(process.env.SHOAL_CRASH_LIVES ?? 5)
/** Lives after which the home is emptied: each writes some hundred MB. */
const LIVES_PER_HOME = 5
const WRITER = join(import.meta.dirname, 'crash-writer-process.js')

/** Lets a writer live for a while after its first words and answers the whole lines that it said. */
async function writeAndDie(home: string, life: number): Promise<string[][]> {
  const writer = spawn(process.execPath, [WRITER, home, String(life)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(writer, 'exit')
  let said = ''
  let killer: NodeJS.Timeout | undefined
  for await (const text of writer.stdout.setEncoding('utf8')) {
    said += text
    killer ??= setTimeout(() => writer.kill('SIGKILL'), 40 + ((life * 57) % 290))
  }
  clearTimeout(killer)
  const [code, signal] = (await exited) as [number | null, string | null]
  assert.deepEqual({ code, signal }, { code: null, signal: 'SIGKILL' }, 'the writer died of nothing but the kill')
  return said
    .split('\n')
    .slice(0, -1)
    .map(line => line.split(' '))
}

async function checkPromises(home: string, promises: string[][]): Promise<void> {
  const store = await openStore(home)
  const damaged: string[] = []
  store.blocks.onCorrupt(cid => damaged.push(cid))
  for (const [kind, name, cid] of promises as [string, string, string][]) {
    if (kind === 'block') assert.ok(await store.blocks.get(name), `block ${name}`)
    if (kind === 'record') assert.deepEqual(await store.records.table('own').get(name), { cid })
    if (kind === 'checkpoint') assert.equal((await readCheckpoint(join(home, 'checkpoints', name))).tensors.length, 1)
  }
  for await (const { cid } of store.blocks.list()) await store.blocks.get(cid)
  assert.deepEqual(damaged, [], 'no block was there in part')
  await store.close()
}

describe('a killed writer', () => {
  const home = temporaryHome()

  it('loses nothing that it was promised, life after life', async function () {
    this.timeout(60_000 + LIVES * 10_000)
    let promises: string[][] = []
    let count = 0
    for (let life = 0; life < LIVES; life++) {
      if (life % LIVES_PER_HOME === 0) {
        promises = []
        for (const name of readdirSync(home())) rmSync(join(home(), name), { recursive: true })
      }
      const said = await writeAndDie(home(), life)
      count += said.length
      promises.push(...said)
      await checkPromises(home(), promises)
      const states = said.filter(([kind]) => kind === 'state')
      if (states.length > 0) {
        const state = await readSafetensorsFile(join(home(), 'state.safetensors'))
        assert.ok(Number(state.metadata.n) >= Number(states.at(-1)![1]), 'the last state written, or the one after it')
        const values = new Float32Array(state.tensors[0]!.bytes.buffer)
        assert.ok(values.every(value => value === Number(state.metadata.n)))
      }
      const names = readdirSync(home(), { recursive: true, encoding: 'utf8' })
      assert.deepEqual(
        names.filter(name => name.endsWith('.shoal-tmp')),
        []
      )
    }
    assert.ok(count > LIVES, 'the writers were killed while they wrote')
  })
})
