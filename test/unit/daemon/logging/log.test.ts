import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLog } from '../../../../daemon/logging/log.ts'
import { logLine } from '../../../../daemon/logging/log-line.ts'

describe('openLog()', () => {
  let home: string
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-log-'))
  })
  afterEach(() => rm(home, { recursive: true }))

  it('starts a new file at the size and keeps as many as asked', async () => {
    const log = openLog(home, { level: 'info', maxBytes: 2000, files: 3 })
    for (let i = 0; i < 100; i++) log.logger.info({ i }, 'a line of the log')
    log.close()
    assert.deepEqual((await readdir(join(home, 'logs'))).sort(), ['daemon.1.log', 'daemon.2.log', 'daemon.log'])
    const newest = (await readFile(join(home, 'logs', 'daemon.log'), 'utf8')).trim().split('\n')
    assert.equal(JSON.parse(newest.at(-1)!).i, 99)
  })

  it('goes on with its file where that cannot be put aside', async () => {
    const log = openLog(home, { level: 'info', maxBytes: 2000, files: 2 })
    const aside = join(home, 'logs', 'daemon.1.log')
    await mkdir(aside)
    for (let i = 0; i < 60; i++) log.logger.info({ i }, 'a line of the log')
    const written = await readFile(log.path, 'utf8')
    await rm(aside, { recursive: true })
    for (let i = 60; i < 90; i++) log.logger.info({ i }, 'a line of the log')
    log.close()
    assert.match(written, /"i":59,/)
    assert.match(await readFile(aside, 'utf8'), /"i":59,/)
    assert.match(await readFile(log.path, 'utf8'), /"i":89,/)
  })

  it('writes again as soon as a file can be opened that could not be, and nothing once it is closed', async () => {
    const log = openLog(home, { level: 'info', maxBytes: 2000, files: 2 })
    await rm(join(home, 'logs'), { recursive: true })
    for (let i = 0; i < 60; i++) log.logger.info({ i }, 'a line of the log')
    await mkdir(join(home, 'logs'))
    log.logger.info('there is a folder again')
    log.close()
    log.logger.info('closed')
    assert.deepEqual(
      (await readFile(log.path, 'utf8'))
        .trim()
        .split('\n')
        .map(json => JSON.parse(json).msg),
      ['there is a folder again']
    )
  })

  it('gives the last lines also where they lie in the file before this one', () => {
    const log = openLog(home, { level: 'info', maxBytes: 2000, files: 3 })
    for (let i = 0; i < 60; i++) log.logger.info({ i }, 'a line of the log')
    const numbers = (count: number) => log.tail(count).map(json => JSON.parse(json).i)
    assert.deepEqual(
      numbers(25),
      Array.from({ length: 25 }, (_, i) => 35 + i)
    )
    assert.deepEqual(numbers(0), [])
    assert.ok(numbers(1_000).length < 60)
    log.close()
  })

  it('leaves out no line between two that it gives, and no half line', async () => {
    const log = openLog(home, { level: 'info', maxBytes: 1.6e6, files: 3 })
    for (let i = 0; i < 30; i++) log.logger.info({ i, text: 'x'.repeat(1e5) }, 'a long line')
    await appendFile(log.path, '{"half of a')
    const numbers = log.tail(1_000).map(json => JSON.parse(json).i)
    assert.deepEqual(
      numbers,
      numbers.map((_, at) => 29 - numbers.length + 1 + at)
    )
    assert.ok(numbers.length >= 9)
    log.close()
  })

  it('remembers the last lines across a restart and keeps to its level', async () => {
    const terminal: string[] = []
    const first = openLog(home, { level: 'warn', maxBytes: 1e6, files: 2, terminal: { write: line => terminal.push(line) } })
    first.logger.info('unheard')
    first.logger.warn('heard')
    first.close()
    const second = openLog(home, { level: 'info', maxBytes: 1e6, files: 2 })
    assert.match(second.tail(5).join(), /heard/)
    assert.equal(terminal.length, 1)
    assert.match(terminal[0]!, /^\d{4}-.*Z warn {2}heard\n$/)
    second.close()
  })

  it('gives a terminal up at its first error and says so where lines still go', () => {
    for (const isThrown of [false, true]) {
      const written: string[] = []
      const write = (line: string, done: (error: Error) => void) => {
        written.push(line)
        if (isThrown) throw new Error('EIO')
        done(new Error('EIO'))
      }
      const log = openLog(home, { level: 'info', maxBytes: 1e6, files: 2, terminal: { write } })
      log.logger.info('the first')
      log.logger.info('the second')
      log.close()
      assert.equal(written.length, 1)
      const said = log.tail(3).map(json => JSON.parse(json))
      assert.deepEqual(
        said.map(({ msg, err }) => err?.message ?? msg),
        ['the first', 'EIO', 'the second']
      )
    }
  })
})

describe('logLine()', () => {
  it('puts facts behind the message and lets nothing forge a line', () => {
    const json = JSON.stringify({
      level: 40,
      time: 'T',
      component: 'sync',
      msg: 'peer said\nno',
      text: 'a "b"\u001b[2J',
      n: 1,
      err: { message: 'why' }
    })
    assert.equal(logLine(json, false), 'T warn  sync: peer said no text="a \\"b\\" [2J" n=1 err=why')
  })
})
