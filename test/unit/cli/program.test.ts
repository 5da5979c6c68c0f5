import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { createProgram } from '../../../cli/program.ts'

const MAIN = join(import.meta.dirname, '..', '..', '..', 'cli', 'main.js')

describe('the shoal command', function () {
  this.timeout(20_000)
  let home: string
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'shoal-cli-'))
  })
  after(() => rmSync(home, { recursive: true, force: true }))

  const shoal = (...args: string[]) => {
    const { SHOAL_HOME: _home, SHOAL_API: _api, ...env } = process.env
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', env: { ...env, SHOAL_HOME: home } })
    return { status, stdout, stderr }
  }

  it('prints help with its exit codes', () => {
    const { status, stdout } = shoal('--help')
    assert.equal(status, 0)
    assert.match(stdout, /Exit codes: 0 ok, 1 failed, 2 usage/)
    assert.match(stdout, /checkpoint/)
  })

  it('says its version', () => {
    const { status, stdout } = shoal('version', '--json')
    assert.equal(status, 0)
    assert.equal(JSON.parse(stdout).schema, 1)
    assert.match(JSON.parse(stdout).version, /^\d+\.\d+\.\d+/)
    assert.match(shoal('--version').stdout, /^\d+\.\d+\.\d+\n$/)
  })

  it('refuses an unknown command with 2 and the nearest name', () => {
    const { status, stderr, stdout } = shoal('statsu')
    assert.equal(status, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /^unknown_command: /)
    assert.match(stderr, /did you mean shoal status\?/)
  })

  it('refuses an unknown command of a group with 2 and the nearest name', () => {
    const { status, stderr } = shoal('run', 'creat')
    assert.equal(status, 2)
    assert.match(stderr, /did you mean shoal run create\?/)
  })

  it('refuses an unknown flag with 2 and the nearest name, before or after the command', () => {
    const own = shoal('rounds', '--limt', '3')
    assert.equal(own.status, 2)
    assert.match(own.stderr, /^unknown_option: .*--limt/)
    assert.match(own.stderr, /did you mean --limit\?/)
    const global = shoal('--hom', 'x', 'status')
    assert.equal(global.status, 2)
    assert.match(global.stderr, /did you mean --home\?/)
  })

  it('answers errors as one JSON document on stdout in --json mode', () => {
    const { status, stdout, stderr } = shoal('rounds', '--json', '--limt', '3')
    assert.equal(status, 2)
    assert.equal(stderr, '')
    const { error } = JSON.parse(stdout)
    assert.equal(error.code, 'unknown_option')
    assert.equal(error.hint, 'did you mean --limit?')
  })

  it('ends with 3 where no daemon runs', () => {
    const { status, stderr } = shoal('status')
    assert.equal(status, 3)
    assert.match(stderr, /^daemon_not_running: .*\n {2}hint: start one with: shoal daemon/)
    assert.equal(shoal('status', '--api', 'http://127.0.0.1:1').status, 5, 'an API without its token')
  })

  it('names only commands that there are in what it prints', () => {
    const root = join(import.meta.dirname, '..', '..', '..', '..')
    const sources = ['cli', 'daemon', 'protocols', 'storage', 'training']
      .flatMap(room => readdirSync(join(root, room), { recursive: true, encoding: 'utf8' }).map(name => join(room, name)))
      .filter(name => name.endsWith('.ts'))
    const program = createProgram()
    const named = (commands: readonly Command[], word: string) =>
      commands.find(command => [command.name(), ...command.aliases()].includes(word))
    const wrong = [...sources, 'README.md'].flatMap(path =>
      // Prose goes on with other words.
      [...readFileSync(join(root, path), 'utf8').matchAll(/\bshoal (?!in |on |knows\b)([a-z]+)(?: ([a-z]+))?/g)]
        .filter(([, first, second]) => {
          const command = named(program.commands, first!)
          if (command === undefined) return true
          return command.commands.length > 0 && second !== undefined && named(command.commands, second) === undefined
        })
        .map(([text]) => `${path}: ${text}`)
    )
    assert.deepEqual(wrong, [])
  })

  it('shows every setting, and what is wrong with one, where the configuration is wrong', () => {
    const broken = join(home, 'broken')
    mkdirSync(broken)
    writeFileSync(join(broken, 'config.yaml'), 'apiPort: many\ntreads: 2')
    const { status, stdout, stderr } = shoal('config', 'show', '--home', broken)
    assert.equal(status, 0)
    assert.match(stdout, /^apiPort +4180 +default /m)
    assert.match(stdout, /^threads /m)
    assert.match(stderr, /unknown key treads.*did you mean threads\?/)
    assert.match(stderr, /apiPort in .* is "many"/)
  })

  it('prints a valid description with its defaults, as one that is valid itself', () => {
    const [short, whole] = [join(home, 'short.yaml'), join(home, 'whole.yaml')]
    const model = '{ family: gpt2, depth: 2 }'
    writeFileSync(
      short,
      `{ name: demo, model: ${model}, tokenizer: { kind: bytes }, strategy: { quorum: 1 }, optimizer: { learningRate: 5e-3 } }`
    )
    const { status, stdout } = shoal('run', 'validate', short)
    assert.equal(status, 0)
    assert.match(
      stdout,
      /^# .*short\.yaml is a valid description; .*\n# warning: strategy\.quorum is 1.*\n(?!#)[\s\S]*\n {2}width: 128\n[\s\S]*\n {2}innerSteps: 50\n/
    )
    writeFileSync(whole, stdout)
    assert.equal(shoal('run', 'validate', whole).stdout, stdout.replace(short, whole))
  })

  it('takes no API that is not spoken to by http, and waits for none', () => {
    for (const api of ['localhost:4180', 'https://127.0.0.1:4180', '127.0.0.1:4180'])
      for (const command of [['status'], ['wait', '--for', 'ready', '--timeout', '5s']]) {
        const { status, stderr } = shoal(...command, '--api', api)
        assert.equal(status, 2, stderr)
        assert.match(stderr, /^bad_argument: .*\n {2}hint: for example http:\/\/127/)
      }
  })

  it('ends with its own code where nobody reads its remarks', () => {
    const script = `"${process.execPath}" "${MAIN}" status --home "${home}" 2> >(exit); echo $?`
    assert.equal(spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout, '3\n')
  })

  it('takes no empty text for a home, nor for any other place', () => {
    const { status, stderr } = shoal('status', '--home', '')
    assert.equal(status, 2)
    assert.match(stderr, /^bad_argument: .*names no folder/)
    for (const args of [
      ['run', 'join', 'demo', '--data', ''],
      ['checkpoint', 'export', ''],
      ['generate', '--from', '']
    ]) {
      const { status, stderr } = shoal(...args)
      assert.match(`${status} ${stderr}`, /^2 bad_argument: "" names no file or folder/, args.join(' '))
    }
  })

  it('takes a checkpoint from a folder or of a run, not both', () => {
    const text = join(home, 'text.txt')
    writeFileSync(text, 'Fellow citizens')
    for (const command of [['eval', text], ['generate']])
      for (const flag of ['--run', '--round']) {
        const { status, stderr } = shoal(...command, '--from', home, flag, '3')
        assert.equal(status, 2)
        assert.match(stderr, new RegExp(`^bad_argument: --from names a folder, ${flag} `))
      }
  })

  it('leaves no copy of a model where the process ends while it is in use', () => {
    const script = `
      import { mkdirSync } from 'node:fs'
      import { withCheckpoint } from ${JSON.stringify(new URL('../../../cli/commands/checkpoint-folder.js', import.meta.url))}
      const client = {
        runs: async () => ({ runs: [{ run: 'b', name: 'demo' }] }),
        checkpoints: async () => ({ checkpoints: [] }),
        exportCheckpoint: async ({ directory }) => (mkdirSync(directory), { directory, round: 1 })
      }
      await withCheckpoint({ control: async () => client, output: { note() {} }, signal: new AbortController().signal }, {}, async directory => {
        process.stdout.write(directory, () => process.exit(0))
        await new Promise(() => {})
      })`
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.match(`${status} ${stdout}`, /^0 .*shoal-checkpoint-\w+.checkpoint$/)
    assert.ok(!existsSync(dirname(stdout)))
  })

  it('refuses a text that is not UTF-8, as training does', () => {
    const latin = join(home, 'latin.txt')
    writeFileSync(latin, Buffer.from('Gr\u00fc\u00dfe', 'latin1'))
    const { status, stderr } = shoal('eval', latin, '--from', home)
    assert.match(`${status} ${stderr}`, /^2 invalid_utf8: cannot read .*latin\.txt: /)
  })

  it('shows no prompt where there is no checkpoint to go on from', () => {
    const { stdout, stderr } = shoal('generate', '--from', join(home, 'nowhere'), '--prompt', 'Fellow')
    assert.equal(stdout, '')
    assert.match(stderr, /^file_missing: /)
  })

  it('ends with 4 when wait runs out of time', () => {
    const { status, stderr } = shoal('wait', '--for', 'ready', '--timeout', '300ms')
    assert.equal(status, 4)
    assert.match(stderr, /^timeout: waited for ready: no daemon is running/)
  })

  it('ends at --timeout also where the garbage was collected meanwhile', () => {
    const collecting = ['--expose-gc', '--import', 'data:text/javascript,setInterval(gc, 20).unref()']
    const waiting = [MAIN, 'wait', '--for', 'ready', '--timeout', '300ms', '--home', home]
    const env = { ...process.env, SHOAL_API: '' }
    assert.equal(spawnSync(process.execPath, [...collecting, ...waiting], { env, timeout: 15_000 }).status, 4)
  })

  it('reads a manifest that mesh run is given from where it is typed, one that the scenario names from there', () => {
    const folder = join(home, 'scenarios')
    mkdirSync(folder)
    const scenario = join(folder, 'scenario.yaml')
    writeFileSync(scenario, 'run: theirs.yaml')
    assert.match(shoal('mesh', 'run', scenario).stderr, new RegExp(`^file_unreadable: cannot read ${join(folder, 'theirs.yaml')}:`))
    const typed = shoal('mesh', 'run', scenario, '--run', 'mine.yaml')
    assert.match(typed.stderr, new RegExp(`^file_unreadable: cannot read ${join(process.cwd(), 'mine.yaml')}:`))
  })

  it('refuses a report that cannot be written before it starts a mesh', () => {
    const scenario = join(home, 'one.yaml')
    writeFileSync(scenario, '{ nodes: 1, rounds: 1 }')
    const report = join(home, 'none', 'report.json')
    const { status, stdout, stderr } = shoal('mesh', 'run', scenario, '--report', report)
    assert.deepEqual([status, stdout], [2, ''])
    assert.match(stderr, new RegExp(`^file_unreadable: cannot write the report ${report}:`))
  })

  it('measures no engine once its time is over', () => {
    const { status, stderr } = shoal('engines', '--measure', '--timeout', '1ms')
    assert.match(`${status} ${stderr}`, /^4 timeout: /)
  })

  it('refuses what the API would refuse before it asks', () => {
    const rounds = shoal('rounds', '--limit', '20000')
    assert.match(`${rounds.status} ${rounds.stderr}`, /^2 .*whole number from 1 to 10000/)
    const ban = shoal('ban', 'PEER', '--for', '400d')
    assert.match(`${ban.status} ${ban.stderr}`, /^2 .*at most 366 days/)
  })

  it('refuses flags that contradict one another or name nothing', () => {
    for (const [args, wanted] of [
      [['wait', '--for', 'ready', '--for', 'peers=2', '--timeout', '1s'], /--for is given twice/],
      [['wait', '--for', 'peers=2', '--run', 'demo', '--timeout', '1s'], /peers=2 is of the node, not of a run/],
      [['run', 'join', 'shoal-invite-1:a', '--invitation', 'shoal-invite-1:b'], /two invitations/],
      [['bench', 'attacks', '--attacks', 'kindness'], /one of signFlip/],
      [['eval', join(MAIN, 'text.txt')], /its path leads through a file/],
      [['bench', 'round', '--codec', ','], /"," names nothing/],
      [['bench', 'round', '--peers', ''], /"" names nothing/],
      [['bench', 'attacks', '--aggregations', ' , '], /names nothing/]
    ] as [string[], RegExp][]) {
      const { status, stderr } = shoal(...args)
      assert.equal(status, 2, args.join(' '))
      assert.match(stderr, wanted)
    }
  })

  it('refuses wrong values with 2 and says what is wanted', () => {
    for (const [args, wanted] of [
      [['wait', '--for', 'lunch'], /write ready, peers=N, round=N or synced/],
      [['wait', '--for', 'ready', '--timeout', 'soon'], /for example 30s or 8m/],
      [['rounds', '--limit', '-3'], /limit|whole number/],
      [['run', 'create', join(home, 'none.yaml')], /there is no such file|no daemon/],
      [['run'], /one of create, validate, ls/],
      [['why'], /subject/]
    ] as [string[], RegExp][]) {
      const { status, stderr } = shoal(...args)
      assert.ok(status === 2 || status === 3, `${args.join(' ')} ended with ${status}`)
      if (status === 2) assert.match(stderr, wanted)
    }
  })
})
