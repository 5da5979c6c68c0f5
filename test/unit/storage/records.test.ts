import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Level } from 'level'
import { type KeyRange, openStore, orderedKey, type Store, type Table } from '../../../storage/index.ts'
import { LevelRecords } from '../../../storage/records.ts'
import { temporaryHome } from './temporary-home.ts'

describe('Records', () => {
  const home = temporaryHome()
  let store: Store
  let rounds: Table<number>

  beforeEach(async () => {
    store = await openStore(home())
    rounds = store.records.table('rounds')
  })
  afterEach(() => store.close())

  const keys = async (range?: KeyRange): Promise<string[]> => {
    const found: string[] = []
    for await (const [key] of rounds.entries(range)) found.push(key)
    return found
  }

  it('get() gives what put() put, and undefined for the rest', async () => {
    await rounds.put('a', 1, { sync: true })
    assert.equal(await rounds.get('a'), 1)
    assert.equal(await rounds.get('b'), undefined)
    await rounds.delete('a')
    assert.equal(await rounds.get('a'), undefined)
  })

  it('delete() takes several keys, and leaves the others', async () => {
    for (const key of ['a', 'b', 'c']) await rounds.put(key, 1)
    await rounds.delete(['a', 'c', 'd'])
    assert.deepEqual(await keys(), ['b'])
    await rounds.delete([])
    assert.deepEqual(await keys(), ['b'])
  })

  it('keeps tables apart', async () => {
    await store.records.table('runs').put('a', 'of runs')
    await rounds.put('a', 1)
    assert.equal(await store.records.table('runs').get('a'), 'of runs')
    assert.deepEqual(await keys(), ['a'])
  })

  it('entries() keeps to its bounds', async () => {
    for (const round of [10, 9, 100]) await rounds.put(`run/${orderedKey(round)}`, round)
    await rounds.put('run2/x', 0)
    await rounds.put('ru', 0)
    await rounds.put('run/\u{10fff0}', 0)
    const [nine, ten, hundred] = [9, 10, 100].map(round => `run/${orderedKey(round)}`) as [string, string, string]
    assert.deepEqual(await keys({ prefix: 'run/' }), [nine, ten, hundred, 'run/\u{10fff0}'])
    assert.deepEqual(await keys({ gte: nine, lte: hundred }), [nine, ten, hundred])
    assert.deepEqual(await keys({ gt: nine, lt: hundred }), [ten])
    assert.deepEqual(await keys({ prefix: 'run/', gt: nine, limit: 1 }), [ten])
    assert.deepEqual(await keys({ prefix: 'run/', gte: 'a', lt: 'zzz', reverse: true, limit: 2 }), ['run/\u{10fff0}', hundred])
    assert.equal((await keys()).length, 6)
    assert.deepEqual(await keys({ limit: 0 }), [])
  })

  it('entries() sees the moment in which it began, and may be left early', async () => {
    await rounds.put('a', 1)
    await rounds.put('b', 2)
    const seen: string[] = []
    for await (const [key] of rounds.entries()) {
      seen.push(key)
      await rounds.put('c', 3)
    }
    assert.deepEqual(seen, ['a', 'b'])
    for await (const _ of rounds.entries()) break
  })

  it('batch() spans tables and is all or nothing', async () => {
    await rounds.put('old', 1)
    await store.records.batch(
      [
        { type: 'put', table: 'rounds', key: 'new', value: 2 },
        { type: 'put', table: 'heads', key: 'run', value: { round: 2 } },
        { type: 'delete', table: 'rounds', key: 'old' }
      ],
      { sync: true }
    )
    assert.deepEqual(await keys(), ['new'])
    const bad = store.records.batch([
      { type: 'put', table: 'rounds', key: 'newer', value: 3 },
      { type: 'put', table: 'heads', key: 'run', value: 1n }
    ])
    await assert.rejects(bad, { code: 'bad_record' })
    assert.deepEqual(await keys(), ['new'])
  })

  it('refuses keys and values that cannot be kept', async () => {
    await assert.rejects(rounds.put('', 1), { code: 'bad_key' })
    await assert.rejects(rounds.get('k'.repeat(2000)), { code: 'bad_key' })
    await assert.rejects(rounds.put('a', undefined as never), { code: 'bad_record' })
    await assert.rejects(store.records.table<string>('runs').put('a', 'x'.repeat(1024 * 1024)), { code: 'record_too_large' })
    assert.throws(() => store.records.table('nothing' as never), { code: 'bad_key' })
  })
})

describe('Records that are opened again after a failed write', () => {
  const home = temporaryHome()

  it('entries() goes on behind what it told, in its order and up to its limit', async () => {
    const level = new Level<string, string>(join(home(), 'records'))
    const records = new LevelRecords(home(), level)
    const rounds = records.table<string>('rounds')
    const keys = Array.from({ length: 30 }, (_, round) => orderedKey(round))
    for (const key of keys) await rounds.put(key, 'x'.repeat(10_000)) // More than Level reads ahead.
    const batch = level.batch.bind(level) as (operations: unknown) => Promise<void>
    let failing = false
    Object.assign(level, {
      batch: (operations: unknown) => (failing ? Promise.reject(new Error('IO error: No space left on device')) : batch(operations))
    })
    const seenWhileReopened = async (range: KeyRange): Promise<string[]> => {
      const seen: string[] = []
      for await (const [key] of rounds.entries(range)) {
        seen.push(key)
        if (seen.length !== 2) continue
        failing = true
        await assert.rejects(rounds.put('a', ''), { code: 'disk_full' })
        failing = false
        await rounds.delete('a')
      }
      return seen
    }
    assert.deepEqual(await seenWhileReopened({}), keys)
    assert.deepEqual(await seenWhileReopened({ lte: keys[28]!, reverse: true, limit: 20 }), keys.slice(9, 29).toReversed())
    await assert.rejects(
      async () => {
        for await (const _ of rounds.entries()) await records.close()
      },
      { code: 'store_closed' }
    )
  })
})

describe('orderedKey()', () => {
  it('orders as numbers do', () => {
    const numbers = [0, 1, 9, 10, 99, 2 ** 32, Number.MAX_SAFE_INTEGER]
    assert.deepEqual(numbers.map(orderedKey).toSorted(), numbers.map(orderedKey))
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 60]) assert.throws(() => orderedKey(bad), { code: 'bad_key' })
  })
})
