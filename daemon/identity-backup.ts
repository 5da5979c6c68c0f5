// A node's identity as a file to keep elsewhere, and back again. The file says what it is, whose it is, and whether it is whole:
//
//   shoal identity 1
//   # Whoever has this file can act as this node. ...
//   peer 12D3KooW...
//   made 2026-05-01T10:00:00.000Z
//   key CAESQ...
import { chmod, constants, copyFile, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { PrivateKey } from '@libp2p/interface'
import { makeFolder, writeFileAtomic } from '../storage/index.ts'
import { DaemonError, reasonOf } from './errors.ts'
import { openHome } from './home.ts'
import { createSecret, IDENTITY_FILE, identityText, keyOf, parseIdentity, peerOf, readIdentity, readIfThere } from './identity.ts'

const FIRST_LINE = 'shoal identity 1'
const REMARK = `# Whoever has this file can act as this node: keep it where only you can read it, and never run two nodes with it.
# Put it back with: shoal identity restore THIS-FILE`
/** Bytes; a backup has about 450. */
const MAX_BACKUP_BYTES = 4096

export interface RestoredIdentity {
  peer: string
  home: string
  /** False where the home had this identity already. */
  restored: boolean
  /** Where the identity that stood there lies now, null where there was none. */
  movedTo: string | null
}

/**
 * Writes the identity of a home to a new file that only its owner can read; a daemon may run meanwhile.
 *
 * @throws {DaemonError} `identity_missing`, `identity_damaged`, `backup_exists`, `backup_unwritable`
 */
export async function backUpIdentity(home: string, file: string): Promise<{ peer: string; file: string }> {
  // Not by loadIdentity(), which would make one, and a backup of nothing helps nobody; nor could it on a disk that takes no more writes.
  const path = join(home, IDENTITY_FILE)
  const stored = await readIdentity(path)
  if (stored === undefined) {
    throw new DaemonError('identity_missing', `there is no identity in ${home} to back up`, { hint: 'name the home with --home DIR' })
  }
  const key = await parseIdentity(path, stored)
  const peer = peerOf(key)
  const text = backupText(key)
  let made: boolean
  try {
    made = await createSecret(file, text)
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = isMissing ? `there is no folder ${dirname(file)}` : reasonOf(cause)
    const hint = isMissing
      ? 'make the folder first, or name a file elsewhere'
      : 'name a file in a folder that you can write to, on a disk with room'
    throw new DaemonError('backup_unwritable', `cannot write ${file}: ${why}`, { hint, cause })
  }
  if (made) return { peer, file }
  throw new DaemonError('backup_exists', `${file} exists already and is left as it is`, { hint: 'name another file' })
}

/**
 * Makes a backup the identity of a home. Another identity that stands there is kept beside it, and moved only with `force`.
 *
 * @throws {DaemonError} `backup_unreadable`, `backup_foreign`, `backup_damaged`, `identity_exists`, `home_in_use` (a daemon runs there)
 */
export async function restoreIdentity(home: string, file: string, { force }: { force: boolean }): Promise<RestoredIdentity> {
  const key = await readBackup(file)
  const peer = peerOf(key)
  await makeFolder(home)
  // The store's lock is the home's: no daemon may start with one identity and go on with another.
  const store = await openHome(home)
  try {
    const path = join(home, IDENTITY_FILE)
    const before = await readIdentity(path)
    const known = before === undefined ? undefined : await keyOf(before)
    if (known !== undefined && peerOf(known) === peer) return { peer, home, restored: false, movedTo: null }
    const movedTo = before === undefined ? null : `${path}.${new Date().toISOString().replace(/[:.]/g, '-')}`
    if (movedTo !== null) {
      if (!force) throw existing(home, known === undefined ? 'a damaged identity' : `the identity ${peerOf(known)}`)
      await keepCopy(path, movedTo)
    }
    // Replaced in one step: a crash between moving and writing would leave a home that makes itself a third identity.
    await writeFileAtomic(path, identityText(key), { mode: 0o600 })
    return { peer, home, restored: true, movedTo }
  } finally {
    await store.close()
  }
}

/** Not by a link, which FAT and exFAT have none of; on disk before the other takes its place. */
async function keepCopy(path: string, to: string): Promise<void> {
  await copyFile(path, to, constants.COPYFILE_EXCL)
  await chmod(to, 0o600)
  const file = await open(to, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

function existing(home: string, what: string): DaemonError {
  return new DaemonError('identity_exists', `${home} has ${what}, which is left as it is`, {
    hint: '--force moves it aside, to a file beside it; or restore into a new --home'
  })
}

/** What stands in a backup that is made now. */
export function backupText(key: PrivateKey): string {
  return [FIRST_LINE, REMARK, `peer ${peerOf(key)}`, `made ${new Date().toISOString()}`, `key ${identityText(key)}`].join('\n')
}

async function readBackup(file: string): Promise<PrivateKey> {
  let text: string | undefined
  try {
    text = await readIfThere(file)
  } catch (cause) {
    throw new DaemonError('backup_unreadable', `cannot read ${file}: ${reasonOf(cause)}`, { cause })
  }
  if (text === undefined) throw new DaemonError('backup_unreadable', `cannot read ${file}: there is no such file`)
  return await parseBackup(file, text)
}

/** @throws {DaemonError} `backup_foreign`, `backup_damaged` */
export async function parseBackup(file: string, text: string): Promise<PrivateKey> {
  // A mail or an editor may have given its lines other ends.
  const [first = '', ...lines] = text.slice(0, MAX_BACKUP_BYTES).split(/\r?\n/)
  if (!first.startsWith('shoal identity ')) {
    throw new DaemonError('backup_foreign', `${file} is not a backup of an identity: it does not begin with "${FIRST_LINE}"`, {
      hint: 'backups are made by: shoal identity backup FILE'
    })
  }
  if (first !== FIRST_LINE) throw new DaemonError('backup_foreign', `${file} is a backup of another version: this Shoal reads 1`)
  const said = (name: string) => lines.find(line => line.startsWith(`${name} `))?.slice(name.length + 1)
  const key = await keyOf(said('key') ?? '')
  if (key !== undefined && peerOf(key) === said('peer')) return key
  throw new DaemonError(
    'backup_damaged',
    `${file} is damaged: ${key === undefined ? 'it holds no whole key' : 'its key is not that of its peer'}`,
    {
      hint: 'take another copy of it; nothing was changed'
    }
  )
}
