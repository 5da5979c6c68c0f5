import assert from 'node:assert/strict'
import { EventLog } from '../../../daemon/events.ts'
import type { NodeEvent } from '../../../protocols/control/messages.ts'
import { MemoryTable } from './memory-table.ts'

const ids = (events: NodeEvent[]) => events.map(event => event.id)

function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open }
}

describe('EventLog', () => {
  let events: MemoryTable
  let reasons: MemoryTable
  beforeEach(() => {
    events = new MemoryTable()
    reasons = new MemoryTable()
  })

  it('gives rising ids, across a restart too', async () => {
    const first = await EventLog.open({ events, reasons })
    first.emit({ type: 'run', message: 'one' })
    first.emit({ type: 'run', message: 'two' })
    await first.close()
    const second = await EventLog.open({ events, reasons })
    assert.equal(second.emit({ type: 'run', message: 'three' }).id, 3)
    assert.deepEqual(ids(await second.since(1, 10)), [2, 3])
    assert.deepEqual(ids(await second.tail(2)), [2, 3])
  })

  it('finds those of one type behind more of another than are asked for, written or not', async () => {
    const log = await EventLog.open({ events, reasons })
    for (let i = 0; i < 10; i++) {
      log.emit({ type: 'trust', message: 'rare' })
      for (let j = 0; j < 9; j++) log.emit({ type: 'phase', message: 'training' })
    }
    await log.flush()
    events.full = true
    log.emit({ type: 'trust', message: 'held in memory' })
    log.emit({ type: 'phase', message: 'held in memory' })
    assert.deepEqual(ids(await log.tail(3, 'trust')), [81, 91, 101])
    assert.deepEqual(ids(await log.since(1, 2, 'trust')), [11, 21])
    assert.deepEqual(ids(await log.since(81, 10, 'trust')), [91, 101])
    assert.deepEqual(ids(await log.since(0, 10, 'audit')), [])
  })

  it('tells every event once to who goes on from the last one, whatever is written while it reads', async () => {
    for (const isViewedFirst of [true, false]) {
      const table = new MemoryTable()
      const log = await EventLog.open({ events: table, reasons })
      const emit = (message: string) => log.emit({ type: 'run', message })
      emit('one')
      await log.flush()
      const gates = { two: gate(), four: gate() }
      table.put = async (key, event) => {
        await gates[event.message as 'two' | 'four']?.opened
        table.rows.set(key, event)
      }
      const { entries } = table
      table.entries = async function* (range) {
        table.entries = entries
        const view: [string, NodeEvent][] = []
        const look = async () => {
          for await (const row of table.entries(range)) view.push(row)
        }
        if (isViewedFirst) await look()
        emit('two')
        emit('three')
        // The later one is on disk before the earlier.
        while (table.rows.size < 2) await new Promise(resolve => setImmediate(resolve))
        if (isViewedFirst) {
          gates.two.open()
          await log.flush()
          emit('four')
        } else await look()
        yield* view
      }
      const told = ids(await log.since(0, 10))
      gates.two.open()
      gates.four.open()
      told.push(...ids(await log.since(told.at(-1)!, 10)))
      assert.deepEqual(told, isViewedFirst ? [1, 2, 3, 4] : [1, 2, 3])
    }
  })

  it('finds where a moment lies among its events, written or not', async () => {
    let minute = 0
    const log = await EventLog.open({ events, reasons }, { now: () => new Date(Date.UTC(2026, 0, 1, 10, minute++)) })
    const at = (minutes: number, seconds = 0) => new Date(Date.UTC(2026, 0, 1, 10, minutes, seconds))
    for (let i = 0; i < 5; i++) log.emit({ type: 'run', message: String(i) })
    for (const full of [false, true]) {
      assert.equal(await log.before(at(0)), 0)
      assert.equal(await log.before(at(2)), 2, 'what happened at that very moment is since then')
      assert.equal(await log.before(at(2, 1)), 3)
      assert.equal(await log.before(at(59)), full ? 6 : 5)
      events.full = true
      if (!full) log.emit({ type: 'run', message: 'held in memory' })
    }
  })

  it('keeps at most its cap of events, and reasons by a cap of their own', async () => {
    const log = await EventLog.open({ events, reasons }, { kept: 100, reasonsKept: 1000 })
    log.emit({ type: 'refused', code: 'norm_too_large', peer: 'peer-one', message: 'too large' })
    for (let i = 0; i < 500; i++) log.emit({ type: 'phase', message: 'training' })
    await log.flush()
    assert.ok(events.rows.size <= 102, String(events.rows.size))
    assert.equal(reasons.rows.size, 1)
    assert.deepEqual(ids(await log.why('peer-one')), [1])
  })

  it('keeps its cap of events though the disk refuses some writes', async () => {
    const log = await EventLog.open({ events, reasons }, { kept: 100, reasonsKept: 100 })
    reasons.full = true
    for (let i = 0; i < 60; i++) {
      log.emit({ type: 'refused', code: 'norm_too_large', message: 'too large' })
      await log.flush()
    }
    reasons.full = false
    log.emit({ type: 'run', message: 'room again' })
    await log.flush()
    assert.deepEqual([events.rows.size, reasons.rows.size], [61, 60])

    const { rows } = events
    events.delete = async () => {
      throw new Error('no space left')
    }
    for (let i = 0; i < 43; i++) log.emit({ type: 'run', message: 'more' })
    await log.flush()
    events.delete = MemoryTable.prototype.delete
    log.emit({ type: 'run', message: 'room again' })
    await log.flush()
    assert.equal(rows.size, 100)
  })

  it('forgets what a lower cap leaves over in strides, so that whoever asks meanwhile gets an answer', async () => {
    const first = await EventLog.open({ events, reasons })
    for (let i = 0; i < 9_000; i++) first.emit({ type: 'phase', message: 'training' })
    await first.close()
    const log = await EventLog.open({ events, reasons }, { kept: 100 })
    const forgotten: number[] = []
    events.delete = async keys => {
      forgotten.push(keys.length)
      for (const key of keys) events.rows.delete(key)
    }
    for (let i = 0; i < 10; i++) {
      log.emit({ type: 'run', message: 'another' })
      assert.equal((await log.tail(1))[0]!.message, 'another')
    }
    assert.ok(forgotten.length > 3 && Math.max(...forgotten) <= 2_000, `${forgotten}`)
    assert.ok(events.rows.size <= 110, `${events.rows.size}`)
    assert.deepEqual(ids(await log.tail(2)), [9_009, 9_010])
  })

  it('finds what concerns a round, a run, a peer, or any id in an event', async () => {
    const log = await EventLog.open({ events, reasons })
    log.emit({
      type: 'round',
      run: 'run-one-id',
      round: 7,
      message: 'closed',
      data: { record: 'record-cid', contributors: [{ peer: 'peer-two', tokens: 1 }] }
    })
    log.emit({ type: 'round', run: 'run-two-id', round: 7, message: 'closed' })
    // That something was begun answers no why.
    log.emit({ type: 'phase', run: 'run-two-id', round: 7, message: 'closing' })
    assert.deepEqual(ids(await log.why('7')), [1, 2])
    assert.deepEqual(ids(await log.why('run-one-id/7')), [1])
    assert.deepEqual(ids(await log.why('run-one-')), [1])
    assert.deepEqual(ids(await log.why('record-cid')), [1])
    assert.deepEqual(ids(await log.why('peer-two')), [1])
    assert.deepEqual(ids(await log.why('..er-two')), [1], 'the end of an id, as tables show it')
    assert.deepEqual(ids(await log.why('peer')), [])
  })

  it('stays readable while the disk takes nothing, and writes when it does again', async () => {
    let failures = 0
    const log = await EventLog.open({ events, reasons }, { onError: () => failures++ })
    events.full = true
    log.emit({ type: 'health', message: 'disk full' })
    assert.deepEqual(ids(await log.since(0, 10)), [1])
    assert.ok(failures > 0)
    events.full = false
    log.emit({ type: 'health', message: 'room again' })
    await log.close()
    assert.equal(events.rows.size, 2)
  })

  it('closes on a disk that takes nothing', async () => {
    const log = await EventLog.open({ events, reasons })
    events.full = true
    log.emit({ type: 'run', message: 'never written' })
    await log.flush()
    await log.close()
    assert.equal(events.rows.size, 0)
  })

  it('tells listeners until they leave, and one that throws hurts nobody', async () => {
    const log = await EventLog.open({ events, reasons })
    const heard: number[] = []
    log.subscribe(() => {
      throw new Error('bad listener')
    })
    const leave = log.subscribe(event => heard.push(event.id))
    log.emit({ type: 'run', message: 'one' })
    leave()
    log.emit({ type: 'run', message: 'two' })
    assert.deepEqual(heard, [1])
  })
})
