// A node's Ed25519 key, kept in its home: who the node is, as long as the file lives.
import { chmod, type FileHandle, link, open, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { fileFailure, syncDirectory, temporaryPath, writeFileWhole } from '../storage/index.ts'
import { DaemonError } from './errors.ts'

export const IDENTITY_FILE = 'identity.key'

/** Bytes; the file holds 92 characters. Whatever is longer is not ours. */
const MAX_IDENTITY_BYTES = 1024
/** The first half of an Ed25519 key's 64 bytes, of which the second follows. */
const SEED_BYTES = 32

/**
 * Reads HOME/identity.key (base64 of the libp2p private key, mode 0600), and makes it when it is not there.
 *
 * @throws {DaemonError} `identity_damaged`: the file is there and holds no Ed25519 key. It is never overwritten: a new key is a new node.
 */
export async function loadIdentity(home: string): Promise<PrivateKey> {
  const path = join(home, IDENTITY_FILE)
  const text = await readIdentity(path)
  if (text !== undefined) {
    await chmod(path, 0o600)
    return parseIdentity(path, text)
  }
  await createSecret(path, identityText(await generateKeyPair('Ed25519')))
  // Another process may have been first; the file that stands decides.
  return parseIdentity(path, await readFile(path, 'utf8'))
}

/** What stands in the file of a key. */
export function identityText(key: PrivateKey): string {
  return `${Buffer.from(privateKeyToProtobuf(key)).toString('base64')}\n`
}

/** The key that a text stands for, as identityText() writes it; undefined where it is no Ed25519 key, or its two halves are not of one key. */
export async function keyOf(text: string): Promise<PrivateKey | undefined> {
  const trimmed = text.trim()
  if (trimmed.length === 0 || trimmed.length > MAX_IDENTITY_BYTES) return undefined
  try {
    const key = privateKeyFromProtobuf(Buffer.from(trimmed, 'base64'))
    if (key.type !== 'Ed25519') return undefined
    // libp2p takes both halves as they stand. A damaged first one would sign what nobody can verify.
    const derived = await generateKeyPairFromSeed('Ed25519', key.raw.subarray(0, SEED_BYTES))
    return derived.publicKey.equals(key.publicKey) ? key : undefined
  } catch {
    return undefined
  }
}

/** The peer id that a key stands for, as base58 text. */
export function peerOf(key: PrivateKey): string {
  return peerIdFromPrivateKey(key).toString()
}

/** Whether a text is the peer id of an Ed25519 key in its one usual form: not every one that looks like it is. */
export function isPeer(text: string): boolean {
  try {
    const id = peerIdFromString(text)
    return id.type === 'Ed25519' && id.toString() === text
  } catch {
    return false
  }
}

/** What stands in HOME/identity.key, if there is one. @throws {StorageError} `not_permitted`, `io_error` */
export async function readIdentity(path: string): Promise<string | undefined> {
  try {
    return await readIfThere(path)
  } catch (error) {
    throw fileFailure('read the identity', path, error)
  }
}

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** @throws {DaemonError} `identity_damaged` */
export async function parseIdentity(path: string, text: string): Promise<PrivateKey> {
  const key = await keyOf(text)
  if (key !== undefined) return key
  throw new DaemonError('identity_damaged', `cannot read the identity in ${path}: no whole Ed25519 key stands there`, {
    hint: 'put it back with: shoal identity restore FILE --force, or move the file away to start as a new node',
    details: { path }
  })
}

/** What link() fails with on a file system that has none: FAT and exFAT, as on most USB sticks. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

/** Without links: new, too, but a crash may leave a part of it, which a backup tells of itself and a start refuses. @returns whether it was made */
export async function createDirectly(path: string, text: string): Promise<boolean> {
  let file: FileHandle
  try {
    file = await open(path, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  try {
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
  return true
}

/** A file that only its owner can read: whole or not there, also after a crash. One that stands is left alone. @returns whether it was made */
export async function createSecret(path: string, text: string): Promise<boolean> {
  // A name that the next start removes, should this process die before the link: what it holds is a secret.
  const temporary = temporaryPath(path)
  let made: boolean
  try {
    await writeFileWhole(temporary, file => file.writeFile(text), { mode: 0o600 })
    made = await linkNew(temporary, path, text)
  } finally {
    await rm(temporary, { force: true })
  }
  await syncDirectory(dirname(path))
  return made
}

async function linkNew(written: string, path: string, text: string): Promise<boolean> {
  try {
    await link(written, path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (code !== undefined && NO_LINKS.includes(code)) return createDirectly(path, text)
    throw error
  }
}
