// That a scenario's faults happen: what comes of them in a mesh may come without them, too.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MAPPING = process.getuid?.() === 0 ? [] : ['--map-root-user']
const ENCLOSED = ['--mount', '--propagation', 'private', '--net', ...MAPPING, '--']
const TOOLS = 'for tool in ip tc nft nsenter; do command -v $tool || exit 1; done; ip link add name probe type bridge'
const PROCESS = new URL('./namespaces-process.js', import.meta.url).pathname

describe('the network of a mesh', function () {
  this.timeout(60_000)
  let folder: string
  before(function () {
    if (spawnSync('unshare', [...ENCLOSED, 'sh', '-c', TOOLS]).status === 0) return
    this.test!.parent!.title += ' (skipped: this machine has no namespaces or lacks a tool)'
    this.skip()
  })
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-namespaces-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is parted on both sides or on one, slowed both ways, and then as it was', () => {
    const { status, stdout, stderr } = spawnSync('unshare', [...ENCLOSED, process.execPath, PROCESS, folder], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    const none = [null, null]
    assert.deepEqual(JSON.parse(stdout), {
      parted: { drops: [[2, 3], [1], [1]], rates: [none, none, none] },
      deaf: { drops: [[2, 3], [], []], rates: [none, none, none] },
      slowed: { drops: [[], [], []], rates: [none, ['1Mbit', '1Mbit'], none] },
      whole: { drops: [[], [], []], rates: [none, none, none] }
    })
  })
})
