import assert from 'node:assert/strict'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../../../storage/index.ts'
import { temporaryHome } from './temporary-home.ts'

describe('makeFolder', () => {
  const home = temporaryHome()

  it('makes what is missing above it too, and leaves alone what is there', async () => {
    const folder = join(home(), 'a', 'b')
    await makeFolder(folder)
    await makeFolder(folder)
    assert.equal(statSync(folder).mode & 0o777, 0o700)
  })

  it('ends with an error where a parent lets nothing be made in it', async function () {
    if (process.platform !== 'linux') this.skip()
    await assert.rejects(makeFolder('/proc/nope/deeper'), { code: 'file_missing' })
  })

  it('says that something else stands there', async () => {
    const file = join(home(), 'file')
    writeFileSync(file, '')
    await assert.rejects(makeFolder(file), { code: 'io_error' })
    await assert.rejects(makeFolder(join(file, 'below')), { code: 'io_error' })
  })
})
