// The number of this process among those of its identity.
import type { Records } from '../storage/index.ts'

/**
 * Higher than that of every process before it in this home, though the clock was set back; and as high as the clock says, so that an identity which was
 * restored elsewhere goes on above where it was. Peers believe the highest, so what was recorded of an earlier process deceives nobody.
 */
export async function nextSession(records: Records, nowMs: number = Date.now()): Promise<number> {
  const table = records.table<number>('self')
  const session = Math.max(((await table.get('session')) ?? 0) + 1, nowMs)
  // Where the disk takes nothing the clock's word must do.
  await table.put('session', session).catch(() => {})
  return session
}
