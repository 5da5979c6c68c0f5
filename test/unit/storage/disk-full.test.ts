// A disk that is really full: a small tmpfs in a mount namespace of its own, so that nothing needs to be unmounted.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { temporaryHome } from './temporary-home.ts'

const SCENARIO = join(import.meta.dirname, 'disk-full-process.js')
const NO_MOUNT = 77
const SCRIPT = `mount -t tmpfs -o size=24m shoal "$1" 2>/dev/null || exit ${NO_MOUNT}; exec "$2" "$3" "$1"`

describe('a full disk', () => {
  const home = temporaryHome()

  it('loses nothing, says disk_full, and goes on when there is room', function () {
    this.timeout(60_000)
    const { error, status, stderr } = spawnSync('unshare', ['-rm', 'sh', '-c', SCRIPT, 'sh', home(), process.execPath, SCENARIO], {
      encoding: 'utf8'
    })
    if (error !== undefined || status === NO_MOUNT || /^unshare:/.test(stderr)) {
      this.test!.title += ' (skipped: this machine lets nobody mount a tmpfs)'
      this.skip()
    }
    assert.equal(status, 0, stderr)
  })
})
