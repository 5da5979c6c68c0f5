import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openHome } from '../../../daemon/home.ts'
import { IDENTITY_FILE, loadIdentity, peerOf } from '../../../daemon/identity.ts'
import { backUpIdentity, restoreIdentity } from '../../../daemon/identity-backup.ts'

describe('identity backup and restore', () => {
  let root: string
  let home: string
  let file: string
  let peer: string
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'shoal-backup-'))
    home = join(root, 'home')
    file = join(root, 'node.identity')
    await mkdir(home)
    peer = peerOf(await loadIdentity(home))
  })
  afterEach(() => rm(root, { recursive: true }))

  it('brings an identity into a new home, from a file that only its owner can read and that says what it is', async () => {
    assert.deepEqual(await backUpIdentity(home, file), { peer, file })
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.match(await readFile(file, 'utf8'), new RegExp(`^shoal identity 1\n# Whoever has this file [^]*\npeer ${peer}\n`))
    const fresh = join(root, 'fresh')
    assert.deepEqual(await restoreIdentity(fresh, file, { force: false }), { peer, home: fresh, restored: true, movedTo: null })
    assert.equal(peerOf(await loadIdentity(fresh)), peer)
    assert.equal((await stat(join(fresh, IDENTITY_FILE))).mode & 0o777, 0o600)
    assert.equal((await restoreIdentity(fresh, file, { force: false })).restored, false)
  })

  it('only reads the home, which may be on a disk that takes no more writes', async () => {
    await chmod(join(home, IDENTITY_FILE), 0o640)
    await backUpIdentity(home, file)
    assert.equal((await stat(join(home, IDENTITY_FILE))).mode & 0o777, 0o640)
  })

  it('overwrites no file and backs nothing up where there is nothing', async () => {
    await writeFile(file, 'mine')
    await assert.rejects(backUpIdentity(home, file), { code: 'backup_exists' })
    assert.equal(await readFile(file, 'utf8'), 'mine')
    await assert.rejects(backUpIdentity(join(root, 'nowhere'), join(root, 'b')), { code: 'identity_missing' })
    const nowhere = join(root, 'no', 'folder')
    const message = `cannot write ${nowhere}: there is no folder ${join(root, 'no')}`
    await assert.rejects(backUpIdentity(home, nowhere), { code: 'backup_unwritable', message })
    assert.deepEqual((await readdir(root)).sort(), ['home', 'node.identity'])
  })

  it('leaves another identity alone, and with force moves it aside', async () => {
    await backUpIdentity(home, file)
    const other = join(root, 'other')
    await mkdir(other)
    const before = peerOf(await loadIdentity(other))
    await assert.rejects(restoreIdentity(other, file, { force: false }), { code: 'identity_exists' })
    assert.equal(peerOf(await loadIdentity(other)), before)
    const { movedTo } = await restoreIdentity(other, file, { force: true })
    const moved = await stat(movedTo!)
    // A file of its own: a home on a USB stick has no hard links.
    assert.deepEqual([moved.mode & 0o777, moved.nlink], [0o600, 1])
    assert.equal(peerOf(await loadIdentity(other)), peer)
    await mkdir(join(root, 'again'))
    await writeFile(join(root, 'again', IDENTITY_FILE), await readFile(movedTo!, 'utf8'))
    assert.equal(peerOf(await loadIdentity(join(root, 'again'))), before)
  })

  it('reads a backup whose lines end as Windows ends them', async () => {
    const { peer } = await backUpIdentity(home, file)
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll('\n', '\r\n'))
    const restored = await restoreIdentity(join(root, 'elsewhere'), file, { force: false })
    assert.deepEqual([restored.peer, restored.restored], [peer, true])
  })

  it('refuses what is no backup, what is damaged, and a home in use', async () => {
    await backUpIdentity(home, file)
    const whole = await readFile(file, 'utf8')
    const key = /^key (.*)$/m.exec(whole)![1]!
    // One character of the first half: libp2p itself takes such a key, and nothing that it signs can be verified.
    const flipped = `${key.slice(0, 20)}${key[20] === 'A' ? 'B' : 'A'}${key.slice(21)}`
    const wrong: [string, string][] = [
      ['', 'backup_foreign'],
      ['-----BEGIN PRIVATE KEY-----\n', 'backup_foreign'],
      [key, 'backup_foreign'],
      [whole.replace('identity 1', 'identity 2'), 'backup_foreign'],
      [whole.slice(0, -30), 'backup_damaged'],
      [whole.replace(key, flipped), 'backup_damaged'],
      [whole.replace(/^peer .*$/m, `peer 12D3KooW${'x'.repeat(44)}`), 'backup_damaged'],
      ['shoal identity 1\n', 'backup_damaged']
    ]
    const fresh = join(root, 'fresh')
    for (const [text, code] of wrong) {
      await writeFile(file, text)
      await assert.rejects(restoreIdentity(fresh, file, { force: true }), { code }, JSON.stringify(text))
    }
    await assert.rejects(restoreIdentity(fresh, join(root, 'nothing'), { force: false }), { code: 'backup_unreadable' })
    await writeFile(file, whole)
    const store = await openHome(home)
    await assert.rejects(restoreIdentity(home, file, { force: true }), { code: 'home_in_use' })
    await store.close()
    await writeFile(join(home, IDENTITY_FILE), `${flipped}\n`)
    await assert.rejects(loadIdentity(home), { code: 'identity_damaged' })
  })
})
