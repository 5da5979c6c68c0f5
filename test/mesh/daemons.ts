// Real daemons in this process, each test's in a folder of its own that goes with them.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../daemon/config.ts'
import { Daemon, type DaemonOptions } from '../../daemon/daemon.ts'
import { type ControlClient, connectControl, locateDaemon } from '../../protocols/control/index.ts'

export interface StartedDaemon {
  daemon: Daemon
  peer: string
  control: ControlClient
}

export interface TestDaemons {
  home(name: string): string
  start(name: string, flags?: Record<string, unknown>, options?: DaemonOptions): Promise<StartedDaemon>
  /** Looks ten times a second. */
  until(condition: () => Promise<boolean>): Promise<void>
}

/** To be called in a `describe`. @param limitMs that `until` waits at most */
export function testDaemons(folder: string, limitMs: number): TestDaemons {
  let root: string
  let daemons: Daemon[]
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), folder))
    daemons = []
  })
  afterEach(async () => {
    await Promise.all(daemons.map(daemon => daemon.stop()))
    await rm(root, { recursive: true })
  })
  const home = (name: string) => join(root, name)
  return {
    home,
    async start(name, flags = {}, options = {}) {
      const config = await loadConfig({ flags: { home: home(name), profile: 'test', logLevel: 'silent', threads: 1, ...flags } })
      const daemon = await Daemon.start(config, options)
      daemons.push(daemon)
      const read = async (path: string) => readFile(path, 'utf8').catch(() => undefined)
      return { daemon, peer: daemon.ready.peer, control: connectControl(await locateDaemon(home(name), read)) }
    },
    async until(condition) {
      for (const limit = performance.now() + limitMs; !(await condition()); await new Promise(resolve => setTimeout(resolve, 100)))
        assert.ok(performance.now() < limit, `not so in time: ${condition}`)
    }
  }
}
