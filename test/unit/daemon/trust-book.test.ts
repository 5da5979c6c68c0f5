import assert from 'node:assert/strict'
import { EventLog } from '../../../daemon/events.ts'
import { MEMBERS_REFUSALS, STRANGERS_REFUSALS } from '../../../daemon/refusals.ts'
import { TrustBook } from '../../../daemon/trust-book.ts'
import type { RecordOperation, Records } from '../../../storage/index.ts'
import { MemoryTable } from './memory-table.ts'

describe('TrustBook', () => {
  let events: EventLog
  let batches: RecordOperation[][]
  let isFull: boolean
  let book: TrustBook
  beforeEach(async () => {
    events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
    batches = []
    isFull = false
    const records = {
      table: () => ({ entries: async function* () {} }),
      batch: async (operations: RecordOperation[]) => {
        if (isFull) throw Object.assign(new Error('no room'), { code: 'disk_full' })
        batches.push(operations)
      }
    } as unknown as Records
    book = await TrustBook.open({ self: 'self', records, events })
    book.start()
  })
  afterEach(() => book.stop())

  it('does not acknowledge a ban that was not written', async () => {
    isFull = true
    await assert.rejects(book.ban('X', { reason: 'spam', forMs: null }), { code: 'disk_full' })
    await assert.rejects(book.unban('X'), { code: 'disk_full' })
    isFull = false
    assert.equal((await book.ban('X', { reason: 'spam', forMs: null })).standing, 'banned')
    assert.equal(batches.length, 1)
  })

  it('judges by every refusal of strangers, and tells a bounded number', () => {
    const before = events.last
    const refused = { type: 'refused', run: 'r', code: 'bad_body', message: 'wrong' } as const
    for (let n = 0; n < 5; n++) book.refused({ ...refused, peer: 'X', data: { subject: `s${n}` } })
    assert.equal(book.standing('X'), 'banned')
    for (let n = 0; n < 1_000; n++) book.refused({ ...refused, peer: `X${n}`, data: { subject: `t${n}` } })
    assert.equal(events.last - before, STRANGERS_REFUSALS.all.burst)
  })

  it('tells a bounded number of what a member does, and of one that is banned no more than of a stranger', async () => {
    book.isAccepted = peer => peer === 'member'
    const before = events.last
    const late = { type: 'refused', run: 'r', peer: 'member', code: 'late', message: 'late' } as const
    for (let n = 0; n < 1_000; n++) book.refused({ ...late, data: { subject: `s${n}` } })
    assert.equal(events.last - before, MEMBERS_REFUSALS.each.burst)
    const lie = { ...late, code: 'bad_body' }
    for (let n = 0; n < 1_000; n++) book.refused({ ...lie, data: { subject: `t${n}` } })
    assert.equal(book.standing('member'), 'banned')
    const lies = (await events.since(before, 1_000)).filter(({ code }) => code === 'bad_body')
    assert.equal(lies.length, 4 + STRANGERS_REFUSALS.each.burst, 'four are a ban')
  })

  it('judges by what no run saw however little of it is told, and by the same of one peer once a minute', async () => {
    const refused = (peer: string, code: string) => book.refused({ type: 'refused', peer, code, message: 'wrong' })
    for (let n = 0; n < STRANGERS_REFUSALS.all.burst; n++) refused(`stranger${n}`, 'other_network')
    for (let n = 0; n < 1_000; n++) refused('X', 'bad_message')
    assert.deepEqual([book.standing('X'), Math.round(book.row('X').points)], ['probation', 25])
    for (const code of ['bad_signature', 'message_too_large', 'wrong_bytes', 'bad_body']) refused('X', code)
    assert.equal(book.standing('X'), 'banned')
    book.refused({ type: 'refused', run: 'r', peer: 'Y', code: 'bad_body', message: 'wrong' })
    const told = await events.since(0, 1_000, 'refused')
    assert.deepEqual(told.map(({ peer }) => peer).slice(STRANGERS_REFUSALS.all.burst), ['Y'])
  })

  it('writes the newest row of each peer, however much happens meanwhile', async () => {
    const refused = { type: 'refused', peer: 'X', code: 'bad_body', message: 'wrong' } as const
    for (let n = 0; n < 1_000; n++) events.emit({ ...refused, data: { subject: `s${n}` } })
    await book.ban('Y', { reason: 'spam', forMs: null })
    assert.deepEqual(
      batches.map(batch => batch.map(({ key }) => key)),
      [['X', 'Y']]
    )
  })
})
