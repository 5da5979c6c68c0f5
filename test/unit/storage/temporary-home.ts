// A folder for one test, gone when the test is over.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Call inside describe(): each test gets an empty folder of its own. */
export function temporaryHome(): () => string {
  let home = ''
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'shoal-storage-'))
  })
  afterEach(() => rmSync(home, { recursive: true, force: true }))
  return () => home
}
