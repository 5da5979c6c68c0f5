import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Processes } from '../../../../cli/mesh/processes.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

describe('Processes', () => {
  const home = temporaryHome()
  const theirs = { SHOAL_API_PORT: '1', SHOAL_BOOTSTRAP: '/ip4/192.0.2.1/tcp/1', SHOAL_CLOCK_OFFSET_MS: '9', SHOAL_LOG_LEVEL: 'debug' }
  before(() => Object.assign(process.env, theirs))
  after(() => {
    for (const name of Object.keys(theirs)) delete process.env[name]
  })

  it('gives its daemons no setting of the person who starts them but the level of the log', async () => {
    const told = join(home(), 'environment')
    const place = { listen: null, apiPort: null, command: ['sh', '-c', 'env > "$0"; exit 3', told] }
    const processes = new Processes({ folder: home(), network: 'n', placeOf: async () => place })
    const { signal } = new AbortController()
    await assert.rejects(processes.start(1, { bootstrap: [], holdPhase: 'closing@3', signal }), { code: 'daemon_exited' })
    await processes.close()
    const lines = readFileSync(told, 'utf8').split('\n')
    assert.deepEqual(lines.filter(line => line.startsWith('SHOAL_')).sort(), ['SHOAL_HOLD_PHASE=closing@3', 'SHOAL_LOG_LEVEL=debug'])
  })
})
