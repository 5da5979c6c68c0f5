// Fills the small file system at the path it is given and holds that nothing is lost and work goes on when there is room; run by disk-full.test.ts.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import {
  freeBytes,
  openStore,
  orderedKey,
  type StorageError,
  storedTensor,
  writeCheckpoint,
  writeFileAtomic,
  writeSafetensorsFile
} from '../../../storage/index.ts'
import { putRaw } from './stored-blocks.ts'

const MiB = 1024 * 1024
const disk = process.argv[2]!
const home = join(disk, 'home')
const ballast = join(disk, 'ballast')

const full = (error: StorageError): boolean => {
  assert.equal(error.code, 'disk_full', `${error.stack}`)
  assert.ok(String(error.details.path).startsWith(disk) && error.hint !== undefined)
  return true
}
const leftovers = (): string[] => readdirSync(disk, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.shoal-tmp'))

function fillUp(): void {
  const file = openSync(ballast, 'w')
  try {
    for (const size of [MiB, 4096]) {
      try {
        for (;;) writeSync(file, new Uint8Array(size))
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
      }
    }
  } finally {
    closeSync(file)
  }
}

let store = await openStore(home)
const table = () => store.records.table<{ n: number; text?: string }>('rounds')

// Blocks stop while there is still room for records.
const cids: string[] = []
await assert.rejects(async () => {
  for (;;) cids.push(await putRaw(store.blocks, randomBytes(MiB), { durable: true }))
}, full)
assert.ok(cids.length > 5, `only ${cids.length} blocks`)
assert.ok((await freeBytes(home)) >= 7 * MiB)
for (let n = 0; n < 100; n++) await table().put(orderedKey(n), { n }, { sync: true })
assert.equal((await store.blocks.get(cids.at(-1)!))?.byteLength, MiB)

// Room makes them go on.
for (const cid of cids.splice(0, 2)) await store.blocks.delete(cid)
cids.push(await putRaw(store.blocks, randomBytes(MiB)))

// A file that finds the disk full half-way leaves the old one and nothing else.
const path = join(home, 'state')
await writeFileAtomic(path, 'old')
await assert.rejects(writeFileAtomic(path, new Uint8Array(40 * MiB)), full)
assert.equal(readFileSync(path, 'utf8'), 'old')
const large = storedTensor('x', [10 * MiB], new Float32Array(10 * MiB))
await assert.rejects(writeSafetensorsFile(path, [large]), full)
await assert.rejects(writeCheckpoint(join(disk, 'checkpoint'), { config: {}, tensors: [large], files: {} }), full)
const surprise = { 'tokenizer.json': new Uint8Array(40 * MiB) }
await assert.rejects(writeCheckpoint(join(disk, 'checkpoint'), { config: {}, tensors: [], files: surprise }), full)
assert.deepEqual(leftovers(), [])
assert.deepEqual(readdirSync(disk), ['home'])

// Not one byte is left: even records fail, and are read all the same.
fillUp()
let acknowledged = 100
await assert.rejects(async () => {
  for (;;) {
    await table().put(orderedKey(acknowledged), { n: acknowledged, text: randomBytes(20_000).toString('hex') }, { sync: true })
    acknowledged += 1
  }
}, full)
for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(table().put('late', { n: -1 }), full)
assert.deepEqual(await table().get(orderedKey(99)), { n: 99 })
await assert.rejects(putRaw(store.blocks, randomBytes(100)), full)
await assert.rejects(
  openStore(join(disk, 'another')).then(other => other.close()),
  full
)

// There is room again: the same store takes records and blocks, and all that was acknowledged is there, also in its next life.
rmSync(ballast)
for (let n = acknowledged; n < acknowledged + 50; n++) await table().put(orderedKey(n), { n }, { sync: true })
acknowledged += 50
cids.push(await putRaw(store.blocks, randomBytes(MiB)))
for (let life = 0; life < 2; life++) {
  let n = 0
  for await (const [key, value] of table().entries()) {
    assert.deepEqual([key, value.n], [orderedKey(n), n])
    n += 1
  }
  assert.equal(n, acknowledged)
  for (const cid of cids) assert.equal((await store.blocks.get(cid))?.byteLength, MiB)
  await store.close()
  store = await openStore(home)
}

// A home on a full disk cannot be opened, says why, and opens when there is room.
await store.close()
fillUp()
mkdirSync(join(disk, 'blocked'), { recursive: true })
await assert.rejects(
  openStore(join(disk, 'blocked')).then(other => other.close()),
  full
)
rmSync(ballast)
store = await openStore(home)
assert.equal((await table().get(orderedKey(3)))?.n, 3)
await store.close()
