import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freeBytes, writeFileAtomic } from '../../../storage/index.ts'
import { replaceFile, writeAll } from '../../../storage/write-file-atomic.ts'
import { temporaryHome } from './temporary-home.ts'

describe('writeFileAtomic()', () => {
  const home = temporaryHome()

  it('writes, replaces and sets permissions', async () => {
    const path = join(home(), 'token')
    await writeFileAtomic(path, 'old', { durable: false })
    await writeFileAtomic(path, new TextEncoder().encode('new'), { mode: 0o600 })
    assert.equal(readFileSync(path, 'utf8'), 'new')
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(home()), ['token'])
  })

  it('leaves the old file and nothing else when writing fails half-way', async () => {
    const path = join(home(), 'state')
    writeFileSync(path, 'old')
    const failing = replaceFile(path, async handle => {
      await writeAll(handle, new Uint8Array(1000))
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    })
    await assert.rejects(failing, { code: 'disk_full' })
    assert.equal(readFileSync(path, 'utf8'), 'old')
    assert.deepEqual(readdirSync(home()), ['state'])
  })

  it('stops when the signal says so', async () => {
    const controller = new AbortController()
    const writing = replaceFile(
      join(home(), 'state'),
      async handle => {
        controller.abort(new Error('enough'))
        await writeAll(handle, new Uint8Array(1000), controller.signal)
      },
      { signal: controller.signal }
    )
    await assert.rejects(writing, { message: 'enough' })
    assert.deepEqual(readdirSync(home()), [])
  })

  it('names the failure', async () => {
    await assert.rejects(writeFileAtomic(join(home(), 'no', 'folder'), ''), { code: 'file_missing' })
    mkdirSync(join(home(), 'folder'))
    writeFileSync(join(home(), 'folder', 'x'), '')
    await assert.rejects(writeFileAtomic(join(home(), 'folder'), ''), { code: 'io_error' })
  })
})

describe('freeBytes()', () => {
  it('answers for places that are still to be made', async () => {
    assert.ok((await freeBytes('/tmp/not/yet/there')) > 0)
  })
})
