// The table of everything that can be wrong with a configuration, and the order in which its sources win.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type ConfigSources, homeOf, loadConfig, settingRows } from '../../../daemon/config.ts'
import { DaemonError, type Issue } from '../../../daemon/errors.ts'

const PEER = '12D3KooWGRUVh7cgUpGfHGbrJFeJ6h6zqqu8kxp5yhNqDXnPGEPg'

describe('loadConfig()', () => {
  let home: string
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-config-'))
  })
  afterEach(() => rm(home, { recursive: true }))

  const load = (sources: ConfigSources = {}) => loadConfig({ ...sources, flags: { home, ...sources.flags } })
  const refused = async (sources: ConfigSources = {}): Promise<DaemonError> => {
    try {
      await load(sources)
    } catch (error) {
      assert.ok(error instanceof DaemonError, String(error))
      return error
    }
    assert.fail('the configuration was accepted')
  }

  it('lets a flag win over the environment, that over the file, that over the default, and says so', async () => {
    await writeFile(join(home, 'config.yaml'), 'apiPort: 1001\nnetwork: from-file\nthreads: 3\ndiskFloor: 1GiB\n')
    const config = await load({ flags: { apiPort: '1003' }, env: { SHOAL_API_PORT: '1002', SHOAL_NETWORK: 'from-env' } })
    assert.equal(config.apiPort, 1003)
    assert.equal(config.network, 'from-env')
    assert.equal(config.threads, 3)
    assert.equal(config.diskFloor, 2 ** 30)
    const rows = Object.fromEntries(settingRows(config).map(row => [row.key, row.from]))
    assert.deepEqual([rows.apiPort, rows.network, rows.threads, rows.mdns], ['flag', 'env', 'file', 'default'])
    assert.equal(settingRows(config).find(row => row.key === 'apiPort')?.env, 'SHOAL_API_PORT')
  })

  it('reads config.json, but not two files', async () => {
    await writeFile(join(home, 'config.json'), '{ "bootstrapOnly": true }')
    assert.equal((await load()).bootstrapOnly, true)
    await writeFile(join(home, 'config.yaml'), '')
    assert.equal((await refused()).code, 'config_unreadable')
  })

  it('changes defaults with the profile, not what was given', async () => {
    const config = await load({ flags: { profile: 'test', apiPort: 5 } })
    assert.deepEqual([config.mdns, config.listen, config.apiPort], [false, ['/ip4/127.0.0.1/tcp/0'], 5])
    assert.equal(config.origins.mdns, 'profile')
  })

  it('reads lists from text and from YAML', async () => {
    const peer = `/ip4/10.0.0.1/tcp/4101/p2p/${PEER}`
    assert.deepEqual((await load({ env: { SHOAL_BOOTSTRAP: `${peer}, ${peer}` } })).bootstrap, [peer, peer])
    await writeFile(join(home, 'config.yaml'), `bootstrap:\n  - ${peer}\ndata: /my texts, all\n`)
    const config = await load()
    assert.deepEqual(config.bootstrap, [peer])
    assert.deepEqual(config.data, ['/my texts, all'])
  })

  it('takes a relative path of text for one from here on, in the file for one from the home on', async () => {
    await writeFile(join(home, 'config.yaml'), 'data: [texts, "sotu:1790-1860", /elsewhere]\n')
    assert.deepEqual((await load()).data, [join(home, 'texts'), 'sotu:1790-1860', '/elsewhere'])
    assert.deepEqual((await load({ env: { SHOAL_DATA: 'texts' } })).data, [resolve('texts')])
    assert.deepEqual((await load({ flags: { data: ['../texts', 'sotu'] } })).data, [resolve('../texts'), 'sotu'])
  })

  it('takes a clock offset from the environment', async () => {
    assert.equal((await load({ env: { SHOAL_CLOCK_OFFSET_MS: '-86400000' } })).clockOffsetMs, -86_400_000)
  })

  const table: [string, string, RegExp][] = [
    ['aipPort: 1', 'config_unknown_key', /unknown key aipPort in .*config\.yaml \(line 1\): did you mean apiPort\?/],
    ['listn: []', 'config_unknown_key', /did you mean listen\?/],
    ['zzzzzzzz: 1', 'config_unknown_key', /known here: network, /],
    ['apiPort: 70000', 'config_value', /apiPort in .*config\.yaml is 70000 \(line 1\): it must be a port/],
    ['apiPort: high', 'config_value', /"high"/],
    ['network: "My Mesh"', 'config_value', /lower-case/],
    ['listen: [here]', 'config_value', /multiaddrs/],
    ['listen: /ip4/127.0.0.1/tcp/65536', 'config_value', /multiaddrs/],
    [`listen: /ip4/127.0.0.1/tcp/4101/p2p/${PEER}`, 'config_value', /multiaddrs/],
    ['announce: /ip4/300.1.2.3/tcp/4101', 'config_value', /announce in .* is "\/ip4\/300\.1\.2\.3/],
    ['announce: /ip4/10.0.0.1/tcp/4101/p2p/nobody', 'config_value', /multiaddrs/],
    ['bootstrap: /ip4/10.0.0.1/tcp/4101', 'config_value', /end in \/p2p\/PEER/],
    [`bootstrap: /ip4/10.0.0.1/tcp/4101/p2p/${PEER.slice(0, -1)}`, 'config_value', /bootstrap in .* is "\/ip4\/10.*a whole peer id/],
    ['mdns: maybe', 'config_value', /true or false/],
    ['profile: wan', 'config_value', /lan or test/],
    ['run: demo', 'config_value', /run ids/],
    ['diskFloor: lots', 'config_value', /256MiB/],
    ['engine: cuda', 'config_value', /one of auto/],
    ['logLevel: loud', 'config_value', /one of trace/],
    ['{ network: a', 'config_syntax', /config\.yaml:\d/],
    ['- a', 'config_syntax', /map of settings/],
    [`network: ${'x'.repeat(300_000)}`, 'config_unreadable', /at most 262144/]
  ]
  for (const [text, code, message] of table) {
    it(`refuses ${text.slice(0, 60)} with ${code}`, async () => {
      await writeFile(join(home, 'config.yaml'), text)
      const error = await refused()
      assert.equal(error.code, code)
      assert.match(error.message, message)
    })
  }

  it('names every wrong place at once, each with the source it stands in', async () => {
    await writeFile(join(home, 'config.yaml'), 'threads: 1\nnetwrok: x\n')
    const error = await refused({ flags: { apiPort: 'x' }, env: { SHOAL_THREADS: 'many' } })
    const issues = (error.details as { issues: Issue[] }).issues
    assert.deepEqual(issues.map(issue => [issue.path, issue.source?.split('/').at(-1)]).sort(), [
      ['apiPort', '--api-port'],
      ['netwrok', 'config.yaml'],
      ['threads', 'SHOAL_THREADS']
    ])
  })
})

describe('homeOf()', () => {
  it('takes the flag, then the environment, then the XDG folder', () => {
    assert.equal(homeOf({ flags: { home: '/a' }, env: { SHOAL_HOME: '/b' } }), '/a')
    assert.equal(homeOf({ env: { SHOAL_HOME: '/b', XDG_DATA_HOME: '/x' } }), '/b')
    assert.equal(homeOf({ env: { XDG_DATA_HOME: '/x' } }), '/x/shoal')
    assert.equal(homeOf({ userHome: '/home/me' }), '/home/me/.local/share/shoal')
  })
})
