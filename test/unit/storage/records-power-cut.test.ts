// The log of the records after a power cut: what was written behind the last synced record may be missing, zero or noise, at any length.
import assert from 'node:assert/strict'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '../../../storage/index.ts'
import { temporaryHome } from './temporary-home.ts'

const DAMAGES: Record<string, (bytes: Buffer, from: number) => Buffer> = {
  missing: (bytes, from) => bytes.subarray(0, from),
  zero: (bytes, from) => Buffer.concat([bytes.subarray(0, from), Buffer.alloc(bytes.length - from)]),
  noise: (bytes, from) => Buffer.concat([bytes.subarray(0, from), Buffer.from(bytes.subarray(from).map(byte => byte ^ 0x5a))])
}

describe('records after a power cut', function () {
  this.timeout(30_000)
  const root = temporaryHome()

  it('open, hold all that was synced, and take new ones', async () => {
    const home = join(root(), 'home')
    const store = await openStore(home)
    const own = store.records.table<{ n: number; text: string }>('own')
    for (let n = 0; n < 20; n++) await own.put(`kept/${n}`, { n, text: 'x'.repeat(n * 50) }, { sync: true })
    const log = join('records', readdirSync(join(home, 'records')).find(name => name.endsWith('.log'))!)
    const synced = readFileSync(join(home, log)).length
    for (let n = 0; n < 20; n++) await own.put(`hasty/${n}`, { n, text: 'y'.repeat(n * 50) })
    const bytes = readFileSync(join(home, log))
    assert.ok(bytes.length > synced)
    const cut = join(root(), 'cut')
    for (const [what, damage] of Object.entries(DAMAGES)) {
      for (let from = synced; from <= bytes.length; from += 997) {
        cpSync(home, cut, { recursive: true })
        writeFileSync(join(cut, log), damage(bytes, from))
        const opened = await openStore(cut)
        const table = opened.records.table<{ n: number; text: string }>('own')
        for (let n = 0; n < 20; n++) assert.equal((await table.get(`kept/${n}`))?.n, n, `${what} from ${from} of ${bytes.length}`)
        await table.put('next', { n: 1, text: '' }, { sync: true })
        await opened.close()
        rmSync(cut, { recursive: true })
      }
    }
    await store.close()
  })
})
