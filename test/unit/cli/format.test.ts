import assert from 'node:assert/strict'
import { LONGEST_WAIT_MS, parseDuration } from '../../../cli/duration.ts'
import { formatBytes, formatCount, formatLoss, formatSeconds, formatTable, shortId } from '../../../cli/format.ts'
import { nearestName } from '../../../cli/nearest.ts'
import { duration, setting, wait } from '../../../cli/option-values.ts'

describe('format', () => {
  it('formatBytes() picks the unit that leaves one to three digits', () => {
    assert.deepEqual([0, 999, 1000, 1_234_567, 99_960_000, 5e12].map(formatBytes), ['0 B', '999 B', '1.0 kB', '1.2 MB', '100 MB', '5.0 TB'])
  })

  it('formatSeconds() grows coarser', () => {
    assert.deepEqual([0.42, 12.4, 200, 7500, 360_000].map(formatSeconds), ['0.4 s', '12 s', '3m 20s', '2h 5m', '4d 4h'])
  })

  it('formatLoss() and formatCount() show a dash for what is not known', () => {
    assert.deepEqual([formatLoss(1.23456), formatLoss(null), formatLoss(Number.NaN)], ['1.235', '-', '-'])
    assert.deepEqual([formatCount(1234567), formatCount(null)], ['1 234 567', '-'])
  })

  it('shortId() keeps the end, where ids differ', () => {
    assert.equal(shortId('12D3KooWabcdefghij'), '..cdefghij')
    assert.equal(shortId(null), '-')
  })

  it('formatTable() has no borders and no trailing blanks', () => {
    assert.equal(
      formatTable(
        ['A', 'NUMBER'],
        [
          ['x', 1],
          ['long', 22]
        ]
      ),
      'A     NUMBER\nx          1\nlong      22'
    )
  })
})

describe('parseDuration()', () => {
  it('reads units and takes a bare number for seconds', () => {
    assert.deepEqual(
      ['500ms', '30s', '8m', '1h', '90', '1.5s'].map(text => parseDuration(text)),
      [500, 30_000, 480_000, 3_600_000, 90_000, 1500]
    )
  })

  it('refuses nothing, words, zero and what no date can be away', () => {
    for (const text of ['', 'soon', '0', '-1s', '30 days', '40000d']) assert.throws(() => parseDuration(text), { code: 'bad_argument' })
  })

  it('refuses what no timer can wait where something waits, and what the API takes for no span elsewhere', () => {
    assert.equal(duration('30d'), 30 * 86_400_000)
    assert.throws(() => duration('400d'), { code: 'bad_argument', message: /at most 366 days/ })
    assert.equal(wait('24d'), 24 * 86_400_000)
    assert.throws(() => wait('30d'), { code: 'bad_argument', message: /at most 24 days/ })
    assert.equal(parseDuration(`${LONGEST_WAIT_MS}ms`, LONGEST_WAIT_MS), LONGEST_WAIT_MS)
  })
})

describe('nearestName()', () => {
  it('finds a mistyped name and nothing for an unlike one', () => {
    assert.equal(nearestName('--limt', ['--limit', '--home']), '--limit')
    assert.equal(nearestName('kil', ['kill', 'stop']), 'kill')
    assert.equal(nearestName('zzzz', ['kill', 'stop']), undefined)
  })
})

describe('setting()', () => {
  it('reads values as JSON where they are', () => {
    assert.deepEqual(setting('b=x', setting('a.c=3e-3', undefined)), { 'a.c': 0.003, b: 'x' })
    assert.throws(() => setting('novalue', undefined), { code: 'bad_argument' })
  })
})
