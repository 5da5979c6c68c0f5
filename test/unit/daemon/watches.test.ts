// The small watchers: disk space, standing clocks, stray errors, health lines, and the order of stopping.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { ClockWatch } from '../../../daemon/clock-watch.ts'
import { DiskWatch } from '../../../daemon/disk-watch.ts'
import { HealthBoard } from '../../../daemon/health.ts'
import { Lifetime } from '../../../daemon/lifetime.ts'
import { isHarmless } from '../../../daemon/stray-errors.ts'
import type { NodeEvent } from '../../../protocols/control/messages.ts'
import { named } from '../../../protocols/named.ts'

describe('DiskWatch', () => {
  const watch = (floorBytes: number, floorIsDefault = false) => {
    const told: string[] = []
    const disk = { freeBytes: 1000, totalBytes: 2000 }
    const components = {
      onLow: (reason: string) => void told.push(`low: ${reason}`),
      onRoom: (reason: string) => void told.push(`room: ${reason}`),
      onError: (error: unknown) => void told.push(String(error))
    }
    return {
      told,
      disk,
      watch: new DiskWatch(components, {
        home: '/h',
        floorBytes,
        floorIsDefault,
        reservedBytes: 200,
        retryMs: 50,
        measure: async () => disk
      })
    }
  }

  it('pauses below the floor and goes on only with some room to spare, each told once', async () => {
    const { told, disk, watch: it } = watch(800)
    await it.look()
    disk.freeBytes = 700
    await it.look()
    await it.look()
    disk.freeBytes = 900
    await it.look()
    disk.freeBytes = 1000
    await it.look()
    assert.deepEqual(told, ['low: the disk of /h has 700 B free, training needs 800 B', 'room: the disk of /h has 1000 B free again'])
  })

  it('takes a tenth of a small disk where nobody chose the floor', async () => {
    const { told, disk, watch: it } = watch(5000, true)
    await it.look()
    assert.deepEqual(told, [])
    disk.freeBytes = 150
    await it.look()
    assert.equal(told.length, 1)
  })

  it('never goes below what the store leaves free, for it refuses blocks there', async () => {
    const { told, disk, watch: it } = watch(0)
    disk.freeBytes = 199
    await it.look()
    assert.deepEqual(told, ['low: the disk of /h has 199 B free, training needs 200 B'])
  })

  it('pauses at a write that found no room, and goes on with more room or after a while', async () => {
    const { told, disk, watch: it } = watch(200)
    await it.refused()
    await it.refused()
    await it.look()
    assert.deepEqual(told.splice(0), ['low: the disk of /h has 1000 B free, less than what was to be written'])
    disk.freeBytes = 1250
    await it.look()
    assert.deepEqual(told.splice(0), ['room: the disk of /h has 1.2 KiB free again'])
    await it.refused()
    await delay(60)
    await it.look()
    assert.equal(told.length, 2)
    assert.match(told[1]!, /^room/)
  })
})

describe('ClockWatch', () => {
  it('notices that the process stood still', async () => {
    const gaps: number[] = []
    const watch = new ClockWatch({ onGap: gap => gaps.push(gap), gapMs: 100, intervalMs: 10 })
    watch.start()
    await delay(30)
    const until = Date.now() + 200
    while (Date.now() < until);
    await delay(30)
    watch.stop()
    assert.equal(gaps.length, 1)
    assert.ok(gaps[0]! >= 100 && gaps[0]! < 2000, String(gaps[0]))
  })
})

describe('isHarmless()', () => {
  it("tells a stream's end from a bug", () => {
    const named = (name: string) => Object.assign(new Error('x'), { name })
    assert.equal(isHarmless(named('StreamStateError')), true)
    assert.equal(isHarmless(Object.assign(new Error('x'), { code: 'ECONNRESET' })), true)
    assert.equal(isHarmless(new TypeError('x is undefined')), false)
    assert.equal(isHarmless('text'), false)
  })
})

describe('HealthBoard', () => {
  let events: Omit<NodeEvent, 'id' | 'ts'>[]
  let nowMs: number
  let board: HealthBoard
  beforeEach(() => {
    events = []
    nowMs = 0
    const emit = (facts: Omit<NodeEvent, 'id' | 'ts'>) => {
      events.push(facts)
      return { id: 1, ts: '', ...facts }
    }
    board = new HealthBoard({ events: { emit } }, { now: () => nowMs })
  })
  const messages = () => events.map(event => event.message)

  it('makes an event of a line that comes or goes, not of one that stays', () => {
    for (const n of [1, 2]) board.show({ level: 'warn', code: 'no_peers', message: `alone ${n}`, fix: 'start one' })
    board.show({ level: 'fail', code: 'disk_full', message: 'full', fix: null })
    assert.deepEqual(
      board.rows().map(row => row.message),
      ['full', 'alone 2']
    )
    board.clear('no_peers', 'company')
    board.clear('no_peers', 'company')
    assert.deepEqual(messages(), ['alone 1', 'full', 'company'])
  })

  it('shows a line that flickers as it is, and tells of it once a minute', () => {
    const looks = 1_800
    for (let look = 0; look < looks; look++) {
      nowMs = look * 2_000
      board.check('origin_full', look % 2 === 0 ? { level: 'warn', message: 'full', fix: null } : null, 'room')
      board.tellWaiting()
      assert.equal(board.rows().length, 1 - (look % 2))
    }
    assert.deepEqual(messages().slice(0, 2), ['full', 'room'])
    assert.ok(events.length <= 62, `${events.length} events in an hour`)
    assert.ok(events.every(({ message }, i) => message !== events[i - 1]?.message))
  })

  it('tells the state that a line has come to in the end, once, and nothing where that was told before', () => {
    const full = { level: 'warn', code: 'disk_full', message: 'full', fix: null } as const
    board.show(full)
    board.clear('disk_full', 'room')
    board.show(full)
    board.show({ ...full, level: 'fail', message: 'full to the brim' })
    assert.deepEqual(messages(), ['full', 'room'])
    for (nowMs = 0; nowMs <= 122_000; nowMs += 2_000) board.tellWaiting()
    assert.deepEqual(messages().splice(2), ['full to the brim'])
    board.clear('disk_full', 'room again')
    board.show({ ...full, level: 'fail' })
    board.clear('disk_full', 'room for good')
    for (; nowMs <= 300_000; nowMs += 2_000) board.tellWaiting()
    assert.deepEqual(messages().splice(3), ['room again'])
  })

  it('named() names eight peers of a crowd, and how many more there are', () => {
    assert.equal(named(['a is late', 'b is early']), 'a is late; b is early')
    const crowd = Array.from({ length: 4_096 }, (_, n) => `p${n}`)
    assert.equal(named(crowd, ', '), 'p0, p1, p2, p3, p4, p5, p6, p7 and 4088 more')
  })
})

describe('Lifetime', () => {
  it('stops in reverse, past parts that fail or hang, once', async () => {
    const order: string[] = []
    const trouble: string[] = []
    const lifetime = new Lifetime({ stopTimeoutMs: 50, onTrouble: part => trouble.push(part) })
    lifetime.onStop('first', () => void order.push('first'))
    lifetime.onStop('hangs', () => new Promise(() => {}))
    lifetime.onStop('fails', () => {
      throw new Error('no')
    })
    lifetime.onStop('last', async () => void order.push('last'))
    await Promise.all([lifetime.stop(), lifetime.stop()])
    assert.deepEqual(order, ['last', 'first'])
    assert.deepEqual(trouble, ['fails', 'hangs'])
    assert.throws(() => lifetime.onStop('late', () => {}), { code: 'stopping' })
  })
})
