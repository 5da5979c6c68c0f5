import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cidOf, RAW } from '../../../protocols/cids.ts'
import { openStore, type StorageError } from '../../../storage/index.ts'
import { powerCut } from './power-cut.ts'
import { putRaw } from './stored-blocks.ts'
import { temporaryHome } from './temporary-home.ts'

describe('openStore()', () => {
  const home = temporaryHome()

  it('makes a home that only its user may enter', async () => {
    const store = await openStore(join(home(), 'deep', 'home'))
    assert.equal(statSync(store.home).mode & 0o777, 0o700)
    await store.close()
  })

  it('shows its records to its user alone, in a home that others may enter, too', async () => {
    const records = join(home(), 'records')
    chmodSync(home(), 0o755)
    mkdirSync(records, { mode: 0o755 })
    await (await openStore(home())).close()
    assert.equal(statSync(records).mode & 0o777, 0o700)
  })

  it('refuses a home in use with home_in_use, and takes it when the other is closed', async () => {
    const first = await openStore(home())
    await assert.rejects(openStore(home()), (error: StorageError) => error.code === 'home_in_use' && error.hint !== undefined)
    await first.close()
    await (await openStore(home())).close()
  })

  it('keeps records and blocks from one life to the next', async () => {
    const first = await openStore(home())
    const cid = await putRaw(first.blocks, new Uint8Array([1, 2, 3]))
    await first.records.table('heads').put('run', { head: cid })
    await first.close()
    const second = await openStore(home())
    assert.deepEqual(await second.records.table('heads').get('run'), { head: cid })
    assert.deepEqual(await second.blocks.get(cid), new Uint8Array([1, 2, 3]))
    await second.close()
  })

  it('refuses a home of another layout with store_version', async () => {
    await (await openStore(home())).close()
    writeFileSync(join(home(), 'store-version'), '99\n')
    await assert.rejects(openStore(home()), { code: 'store_version' })
    await assert.rejects(openStore(home()), { code: 'store_version' }, 'the lock was given back')
  })

  it('says store_corrupt, with the way out, when the records are damaged', async () => {
    await (await openStore(home())).close()
    const current = readdirSync(join(home(), 'records')).find(name => name.startsWith('MANIFEST'))!
    writeFileSync(join(home(), 'records', current), 'not a manifest')
    await assert.rejects(openStore(home()), (error: StorageError) => error.code === 'store_corrupt' && /move/.test(error.hint ?? ''))
  })

  it('says so plainly when the home is a file', async () => {
    writeFileSync(join(home(), 'file'), '')
    await assert.rejects(openStore(join(home(), 'file')), { code: 'io_error' })
  })

  it('removes what dead writers left, and nothing that a living one writes', async () => {
    const run = join(home(), 'runs', 'bafy')
    mkdirSync(join(run, `folder.${2 ** 22 + 1}-0-1.shoal-tmp`), { recursive: true })
    const dead = join(run, `state.safetensors.${2 ** 22 + 1}-0-1.shoal-tmp`)
    const living = join(run, `state.safetensors.${process.ppid}-0-1.shoal-tmp`)
    const ours = join(run, `state.safetensors.${process.pid}-0-1.shoal-tmp`)
    const formerLife = join(run, `state.safetensors.${process.pid}-0-2.shoal-tmp`)
    for (const path of [dead, living, ours, formerLife]) writeFileSync(path, 'half')
    utimesSync(formerLife, 1, 1)
    await (await openStore(home())).close()
    assert.deepEqual(
      [dead, living, ours, formerLife].map(path => existsSync(path)),
      [false, true, true, false]
    )
    assert.equal(readdirSync(run).length, 2)
  })

  it('holds after a power cut what was put durably, also where a hasty put had made its file and folder', async () => {
    const text = 'first hasty, then durable'
    const log = join(home(), 'told-the-disk')
    const inHome = join(home(), 'home')
    await (await openStore(inHome)).close()
    const watched = ['--import', new URL('./watched-disk.js', import.meta.url).href, join(import.meta.dirname, 'durable-put-process.js')]
    execFileSync(process.execPath, [...watched, inHome, text], { env: { ...process.env, SHOAL_DISK_LOG: log } })
    powerCut(inHome, log)
    const store = await openStore(inHome)
    assert.deepEqual(await store.blocks.get(cidOf(Buffer.from(text), RAW)), Uint8Array.from(Buffer.from(text)))
    await store.close()
  })

  it('refuses work after close() with store_closed', async () => {
    const store = await openStore(home())
    await store.close()
    await assert.rejects(putRaw(store.blocks, new Uint8Array(1)), { code: 'store_closed' })
    await assert.rejects(store.records.table('runs').put('run', 1), { code: 'store_closed' })
    await assert.rejects(store.records.table('runs').get('run'), { code: 'store_closed' })
    await store.close()
  })

  it('does not begin when the signal is aborted', async () => {
    await assert.rejects(openStore(home(), { signal: AbortSignal.abort() }), { name: 'AbortError' })
    assert.deepEqual(readdirSync(home()), [])
  })
})
