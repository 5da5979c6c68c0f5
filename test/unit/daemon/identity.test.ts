import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDirectly, createSecret, IDENTITY_FILE, loadIdentity, peerOf } from '../../../daemon/identity.ts'

describe('loadIdentity()', () => {
  let home: string
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-identity-'))
  })
  afterEach(() => rm(home, { recursive: true }))

  it('makes a key once and keeps it, readable by its owner only', async () => {
    const first = await loadIdentity(home)
    const second = await loadIdentity(home)
    assert.equal(peerOf(first), peerOf(second))
    assert.match(peerOf(first), /^12D3KooW/)
    assert.equal((await stat(join(home, IDENTITY_FILE))).mode & 0o777, 0o600)
  })

  it('gives one key to two that start at once', async () => {
    const keys = await Promise.all([loadIdentity(home), loadIdentity(home)])
    assert.equal(peerOf(keys[0]), peerOf(keys[1]))
  })

  it('says with a code that the file cannot be read', async () => {
    await mkdir(join(home, IDENTITY_FILE))
    await assert.rejects(loadIdentity(home), { code: 'io_error', message: /could not read the identity: / })
  })

  it('refuses a damaged file and leaves it as it is', async () => {
    for (const text of ['', 'not a key', 'AAAA']) {
      await writeFile(join(home, IDENTITY_FILE), text)
      await assert.rejects(loadIdentity(home), { code: 'identity_damaged' })
      assert.equal(await readFile(join(home, IDENTITY_FILE), 'utf8'), text)
    }
  })
})

describe('createSecret()', () => {
  it('leaves nothing of a secret where it could not write it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-identity-'))
    await assert.rejects(createSecret(join(folder, 'secret'), Symbol('cannot be written') as never))
    assert.deepEqual(await readdir(folder), [])
    await rm(folder, { recursive: true })
  })
})

describe('createDirectly()', () => {
  it('writes a new file for its owner only where there are no links, and leaves one that stands alone', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-identity-'))
    const path = join(folder, 'secret')
    assert.equal(await createDirectly(path, 'mine'), true)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.equal(await createDirectly(path, 'yours'), false)
    assert.equal(await readFile(path, 'utf8'), 'mine')
    await rm(folder, { recursive: true })
  })
})
