// A node's Ed25519 key, kept in its home: who the node is, as long as the file lives.
import { randomUUID } from 'node:crypto'
import { chmod, link, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { DaemonError } from './errors.ts'

export const IDENTITY_FILE = 'identity.key'

/** Bytes; the file holds 92 characters. Whatever is longer is not ours. */
const MAX_IDENTITY_BYTES = 1024

/**
 * Reads HOME/identity.key (base64 of the libp2p private key, mode 0600), and makes it when it is not there.
 *
 * @throws {DaemonError} `identity_damaged`: the file is there and holds no Ed25519 key. It is never overwritten: a new key is a new node.
 */
export async function loadIdentity(home: string): Promise<PrivateKey> {
  const path = join(home, IDENTITY_FILE)
  const text = await readIfThere(path)
  if (text !== undefined) return parseIdentity(path, text)
  const key = await generateKeyPair('Ed25519')
  await createDurably(path, `${Buffer.from(privateKeyToProtobuf(key)).toString('base64')}\n`)
  // Another process may have been first; the file that stands decides.
  return parseIdentity(path, await readFile(path, 'utf8'))
}

/** The peer id that a key stands for, as base58 text. */
export function peerOf(key: PrivateKey): string {
  return peerIdFromPrivateKey(key).toString()
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    await chmod(path, 0o600)
    return text
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function parseIdentity(path: string, text: string): PrivateKey {
  const trimmed = text.trim()
  try {
    if (trimmed.length === 0 || trimmed.length > MAX_IDENTITY_BYTES) throw new Error(`it has ${trimmed.length} characters`)
    const key = privateKeyFromProtobuf(Buffer.from(trimmed, 'base64'))
    if (key.type !== 'Ed25519') throw new Error(`it is an ${key.type} key`)
    return key
  } catch (cause) {
    throw new DaemonError('identity_damaged', `cannot read the identity in ${path}: no Ed25519 key stands there`, {
      hint: 'put back a copy of the file, or move it away to start as a new node',
      details: { path },
      cause
    })
  }
}

/** The whole file or none, also after a crash; a file that stands is left alone. */
async function createDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(temporary, { force: true })
  }
  const directory = await open(join(path, '..'), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
