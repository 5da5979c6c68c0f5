// The files by which others find the daemon in its home: daemon.json says where its API is, api-token lets them in.
import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DAEMON_FILE, TOKEN_FILE } from '../protocols/control/constants.ts'
import { isAlive } from '../protocols/control/is-alive.ts'
import type { DaemonFile } from '../protocols/control/messages.ts'
import { openStore, type Store, writeFileAtomic } from '../storage/index.ts'
import { DaemonError, isCodedError } from './errors.ts'

/** Opens a home for this process alone. Throws `home_in_use` with the pid and API of the daemon that has it, or what `openStore` throws. */
export async function openHome(home: string, options: { signal?: AbortSignal } = {}): Promise<Store> {
  try {
    return await openStore(home, options)
  } catch (cause) {
    if (!isCodedError(cause) || cause.code !== 'home_in_use') throw cause
    const owner = await readDaemonFile(home)
    const alive = owner !== undefined && isAlive(owner.pid)
    // One that starts or stops has the lock and no API: `shoal stop` finds nobody.
    const [who, wayOut] = alive
      ? [`a daemon with pid ${owner.pid} that answers at ${owner.api}`, `stop it with: shoal stop --home ${home}`]
      : [
          'a daemon that still starts or stops, or another command',
          `wait until it is done (a daemon's log: ${join(home, 'logs', 'daemon.log')})`
        ]
    throw new DaemonError('home_in_use', `the home ${home} is in use by ${who}`, {
      hint: `${wayOut}, or give this one another --home`,
      details: { home, ...(alive ? { pid: owner.pid, api: owner.api } : {}) },
      cause
    })
  }
}

/** HOME/daemon.json, or undefined where there is none that can be read. */
export async function readDaemonFile(home: string): Promise<DaemonFile | undefined> {
  try {
    const facts = JSON.parse(await readFile(join(home, DAEMON_FILE), 'utf8')) as DaemonFile
    return typeof facts.pid === 'number' && typeof facts.api === 'string' ? facts : undefined
  } catch {
    return undefined
  }
}

/** Tells others where the API is. */
export async function writeDaemonFile(home: string, facts: DaemonFile): Promise<void> {
  await writeFileAtomic(join(home, DAEMON_FILE), `${JSON.stringify(facts, null, 2)}\n`, { mode: 0o600, durable: false })
}

/** Forgets a daemon that is no more: one left behind by a crash would send clients to whoever has its port now. */
export async function removeDaemonFile(home: string): Promise<void> {
  await rm(join(home, DAEMON_FILE), { force: true })
}

/** For large files that are gone when what they are made for is done. */
export function scratchFolder(home: string): string {
  return join(home, 'scratch')
}

/** Forgets what was being made when a daemon was killed; for whoever has the home's lock. */
export async function emptyScratch(home: string): Promise<void> {
  await rm(scratchFolder(home), { recursive: true, force: true })
}

/**
 * A new token for the API, readable by the owner only: one that was sent to whoever had the port of a crashed daemon opens nothing.
 * Written before daemon.json, so that nobody finds the API with an older one.
 */
export async function createToken(home: string): Promise<string> {
  const token = randomBytes(32).toString('base64url')
  await writeFileAtomic(join(home, TOKEN_FILE), `${token}\n`, { mode: 0o600, durable: false })
  return token
}
