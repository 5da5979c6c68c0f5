import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  BAN_FACTOR,
  BAN_FIRST_MS,
  BAN_MAX_MS,
  HALF_LIFE_MS,
  MAX_ACCUSED,
  MAX_JUDGED,
  MAX_OPINIONS_PER_AUTHOR,
  MAX_SAID,
  MAX_STRANGERS,
  OPINION_REPEAT_MS,
  OPINION_ROUNDS,
  OPINION_VALID_MS
} from '../../../../protocols/trust/constants.ts'
import { createTrust, judge, standingOf, type TrustCommand, type TrustEvent, type TrustState } from '../../../../protocols/trust/index.ts'

const HOUR_MS = 60 * 60_000

describe('judge()', () => {
  let state: TrustState
  let now: number
  let subjects: number
  beforeEach(() => {
    state = createTrust('self', [])
    now = 1e12
    subjects = 0
  })
  const tell = (event: TrustEvent): TrustCommand[] => judge(state, event, now).commands
  const offend = (peer: string, code: string, more: object = {}): TrustCommand[] =>
    tell({ type: 'offence', peer, code, subject: `s${subjects++}`, accepted: true, ...more })
  const tick = (head = 7): TrustCommand[] => tell({ type: 'tick', heads: new Map([['run', head]]) })
  const standings = (commands: TrustCommand[]) => commands.flatMap(command => (command.type === 'standing' ? [command.standing] : []))
  const opinion = (author: string, about: string, more: object = {}): TrustCommand[] =>
    tell({
      type: 'opinion',
      author,
      about,
      code: 'norm_mismatch',
      run: 'run',
      round: 5,
      aboutAccepted: true,
      electorate: 4,
      ...more
    })

  it("lets the authors of one run judge nobody who was never of it, and adds up no two runs' authors", () => {
    for (const author of ['A', 'B', 'C']) opinion(author, 'X', { run: 'their own', aboutAccepted: false, electorate: 3 })
    assert.equal(standingOf(state, 'X'), 'good')
    for (const author of ['A', 'B', 'C']) opinion(author, 'Y', { run: 'large', electorate: 12 })
    opinion('D', 'Y', { run: 'small', electorate: 3 })
    assert.equal(standingOf(state, 'Y'), 'good')
    opinion('E', 'Y', { run: 'small', electorate: 3 })
    assert.equal(standingOf(state, 'Y'), 'probation')
  })

  it('puts a peer on probation for one lie, bans it for four, and forgives in time', () => {
    assert.deepEqual(standings(offend('X', 'norm_mismatch')), ['probation'])
    assert.deepEqual(standings(offend('X', 'bad_body')), [])
    offend('X', 'bad_body')
    assert.deepEqual(standings(offend('X', 'bad_codec_bytes')), ['banned'])
    assert.equal(state.judged.get('X')?.until, now + BAN_FIRST_MS)
    now += BAN_FIRST_MS
    assert.deepEqual(standings(tick()), ['probation'])
    now += 3 * HALF_LIFE_MS
    assert.deepEqual(standings(tick()), ['good'])
    now += 10 * HALF_LIFE_MS
    tick()
    assert.equal(state.judged.size, 0)
  })

  it('bears a fault now and then, and codes that time and place or our own fault explain', () => {
    for (let day = 0; day < 20; day++) {
      assert.deepEqual(standings(offend('X', 'non_finite')), [])
      now += 24 * HOUR_MS
    }
    for (const code of ['late', 'fetch_timeout', 'anchor_mismatch', 'bad_parent', 'not_admitted', 'stale_round', 'toString'])
      assert.deepEqual(offend('Y', code), [])
  })

  it('counts one thing once, however many tell of it', () => {
    for (let n = 0; n < 10; n++) tell({ type: 'offence', peer: 'X', code: 'bad_body', subject: 'the same', accepted: true })
    assert.equal(standingOf(state, 'X'), 'probation')
    assert.equal(state.judged.get('X')?.marks.length, 1)
  })

  it('makes each further ban longer, up to a week', () => {
    const lengths: number[] = []
    for (let n = 0; n < 6; n++) {
      for (let lie = 0; lie < 4 && standingOf(state, 'X') !== 'banned'; lie++) offend('X', 'norm_mismatch')
      lengths.push(state.judged.get('X')!.until! - now)
      now = state.judged.get('X')!.until!
      tick()
    }
    assert.deepEqual(lengths.slice(0, 3), [BAN_FIRST_MS, BAN_FACTOR * BAN_FIRST_MS, BAN_FACTOR ** 2 * BAN_FIRST_MS])
    assert.equal(lengths.at(-1), BAN_MAX_MS)
  })

  it('gives nothing on a crowd of new identities, and of old ones never more than probation', () => {
    for (let n = 0; n < 500; n++) opinion(`stranger${n}`, 'X', { electorate: null })
    assert.equal(standingOf(state, 'X'), 'good')
    assert.deepEqual(standings(opinion('A', 'X')), [])
    assert.deepEqual(standings(opinion('A', 'X')), [])
    assert.deepEqual(standings(opinion('B', 'X')), ['probation'])
    for (const author of ['C', 'D', 'E', 'F']) assert.deepEqual(standings(opinion(author, 'X')), [])
    for (let n = 0; n < 100; n++) opinion('A', 'X', { round: n + 1 })
    assert.equal(standingOf(state, 'X'), 'probation')
    now += OPINION_VALID_MS
    assert.deepEqual(standings(tick()), ['good'])
  })

  it('keeps nobody on probation for the word of one alone, whoever else said so before', () => {
    for (const author of ['A', 'B']) opinion(author, 'X')
    now += OPINION_REPEAT_MS
    for (const author of ['A', 'B']) opinion(author, 'X')
    for (let waited = 0; waited < OPINION_VALID_MS; waited += OPINION_REPEAT_MS) {
      assert.deepEqual(standings(tick()), [])
      now += OPINION_REPEAT_MS
      opinion('A', 'X')
      opinion('B', 'X', { run: 'another', electorate: null })
    }
    assert.deepEqual(standings(tick()), ['good'])
  })

  it('waits after a restart whether others still say so of whom they put on probation', () => {
    const probation = () => {
      for (const author of ['A', 'B']) opinion(author, 'X')
      state = createTrust('self', [...state.judged.values()])
      assert.deepEqual(standings(tick()), [])
    }
    probation()
    now += OPINION_REPEAT_MS
    for (const author of ['A', 'B']) opinion(author, 'X')
    now += OPINION_VALID_MS - OPINION_REPEAT_MS
    assert.deepEqual(standings(tick()), [], 'they do')
    probation()
    now += OPINION_VALID_MS
    const ended = tick().flatMap(command => (command.type === 'standing' ? [[command.standing, command.reason]] : []))
    assert.deepEqual(ended, [['good', 'opinions_faded']])
  })

  it('says what it saw of whom others had put on probation, and holds to it when their words have faded', () => {
    for (const author of ['A', 'B']) opinion(author, 'X')
    const said = (commands: TrustCommand[]) => commands.filter(({ type }) => type === 'say').length
    assert.equal(said(offend('X', 'non_finite', { run: 'run', round: 7 })), 0, 'a fault is no reason')
    assert.equal(standingOf(state, 'X'), 'probation', 'nor does it make their words untrue')
    assert.equal(said(offend('X', 'norm_mismatch', { run: 'run', round: 7 })), 1)
    assert.equal(state.judged.get('X')?.reason, 'norm_mismatch')
    now += OPINION_VALID_MS
    assert.deepEqual(standings(tick()), [])
    assert.equal(standingOf(state, 'X'), 'probation')
  })

  it('wants half of the recent authors behind an opinion in a large run', () => {
    for (const author of ['A', 'B', 'C', 'D', 'E']) opinion(author, 'X', { electorate: 12 })
    assert.equal(standingOf(state, 'X'), 'good')
    opinion('F', 'X', { electorate: 12 })
    assert.equal(standingOf(state, 'X'), 'probation')
  })

  it('lets nobody raise the bar for what others say by naming a round of many authors', () => {
    opinion('friend', 'X', { electorate: 40 })
    for (const author of ['A', 'B', 'C', 'D']) opinion(author, 'X', { electorate: 8 })
    assert.equal(standingOf(state, 'X'), 'probation')
  })

  it('neither puts anybody on probation nor keeps anybody there for what fewer than half of the authors say', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 40 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(9), fc.nat(2 * OPINION_REPEAT_MS)), { maxLength: 200 }),
        (electorate, words) => {
          state = createTrust('self', [])
          for (let n = 0; n < electorate; n++) opinion(`honest${n}`, 'long ago', { electorate })
          const liars = Math.ceil(electorate / 2) - 1
          const wasSaidMs = now
          for (const [liar, about, waitMs] of words) {
            now += waitMs
            opinion(`liar${liar % liars}`, `honest${about}`, { electorate })
            opinion(`liar${liar % liars}`, 'long ago', { electorate })
            tick()
            for (let n = 0; n < 10; n++) assert.equal(standingOf(state, `honest${n}`), 'good')
          }
          now = Math.max(now, wasSaidMs + OPINION_VALID_MS)
          tick()
          assert.equal(standingOf(state, 'long ago'), 'good')
        }
      )
    )
  })

  it('does not listen to those whom it does not trust, nor to anybody about himself', () => {
    offend('A', 'norm_mismatch')
    opinion('A', 'X')
    opinion('X', 'X')
    opinion('B', 'X')
    assert.equal(standingOf(state, 'X'), 'good')
    assert.deepEqual(opinion('B', 'self'), [{ type: 'accusedOurselves', author: 'B', code: 'norm_mismatch', run: 'run', round: 5 }])
    assert.equal(standingOf(state, 'self'), 'good')
    assert.deepEqual(offend('self', 'norm_mismatch'), [])
  })

  it('says what it saw itself, again while that lasts, and never what it only heard', () => {
    const seen = { run: 'run', round: 7 }
    const says = (commands: TrustCommand[]) => commands.filter(({ type }) => type === 'say')
    assert.deepEqual(says(offend('X', 'norm_mismatch', seen)), [{ type: 'say', about: 'X', run: 'run', round: 7, code: 'norm_mismatch' }])
    assert.deepEqual(says(offend('X', 'norm_mismatch', seen)), [])
    now += OPINION_REPEAT_MS
    assert.equal(says(tick()).length, 1)
    opinion('A', 'Y')
    opinion('B', 'Y')
    assert.equal(standingOf(state, 'Y'), 'probation')
    assert.deepEqual(says(tick()), [])
  })

  it('says nothing of strangers, and only so much in a while', () => {
    const seen = { run: 'run', round: 7 }
    const says = (commands: TrustCommand[]) => commands.filter(({ type }) => type === 'say').length
    let said = 0
    for (let n = 0; n < 500; n++) said += says(offend(`stranger${n}`, 'norm_mismatch', { ...seen, accepted: false }))
    assert.equal(said, 0)
    for (let n = 0; n < 100; n++) said += says(offend(`member${n}`, 'norm_mismatch', seen))
    assert.equal(said + says(tick()), MAX_SAID)
    now += OPINION_REPEAT_MS
    assert.equal(says(tick()), MAX_SAID)
  })

  it('says what it saw last first, and nothing that is too old to count anywhere', () => {
    const said = (commands: TrustCommand[]) => commands.flatMap(command => (command.type === 'say' ? [command.about] : []))
    const old = Array.from({ length: MAX_SAID }, (_, n) => `old${n}`)
    const seenAt = (round: number) => ({ run: 'run', round })
    for (const peer of old) assert.deepEqual(said(offend(peer, 'norm_mismatch', seenAt(7))), [peer])
    assert.deepEqual(said(offend('new', 'norm_mismatch', seenAt(40))), [])
    now += OPINION_REPEAT_MS
    assert.deepEqual(said(tick(40)), ['new', ...old.slice(0, -1)])
    now += OPINION_REPEAT_MS
    assert.deepEqual(said(tick(7 + OPINION_ROUNDS + 1)), ['new'])
    for (const peer of old) assert.deepEqual(said(offend(peer, 'bad_message')), [])
    assert.deepEqual(said(offend('newer', 'norm_mismatch', seenAt(200))), ['newer'])
    now += OPINION_REPEAT_MS
    assert.deepEqual(said(tick(198)), [], 'a round that is not yet')
    assert.deepEqual(said(tell({ type: 'tick', heads: new Map() })), [], 'nobody listens of a run that it is not in')
  })

  it('hears of itself once an author and code in a while, of few codes, and says which opinions counted', () => {
    const hear = (author: string, about: string, code: string) =>
      judge(state, { type: 'opinion', author, about, code, run: 'run', round: 5, aboutAccepted: true, electorate: 6 }, now)
    assert.deepEqual([hear('A', 'self', 'bad_body').counted, hear('A', 'self', 'bad_body').counted], [true, false])
    let heard = 0
    for (let n = 0; n < 100; n++) heard += hear('A', 'self', `made_up_${'x'.repeat(n)}`).commands.length
    assert.equal(heard, MAX_OPINIONS_PER_AUTHOR - 1)
    for (let n = 0; n < 1_000; n++) hear(`B${n}`, 'self', 'bad_body')
    assert.equal(state.accusedOurselves.size, MAX_ACCUSED)
    now += OPINION_REPEAT_MS
    assert.equal(hear('A', 'self', 'bad_body').counted, true)
    assert.equal(state.accusedOurselves.size, 1)
    assert.deepEqual([hear('A', 'X', 'bad_body').counted, hear('A', 'X', 'bad_body').counted], [true, false])
    now += OPINION_REPEAT_MS
    assert.equal(hear('A', 'X', 'bad_body').counted, true)
  })

  it('never forgets a banned member for strangers, however many ids are made up and banned', () => {
    for (let n = 0; n < 4; n++) offend('member', 'norm_mismatch')
    for (let n = 0; n < MAX_STRANGERS + 100; n++) for (let lie = 0; lie < 5; lie++) offend(`X${n}`, 'norm_mismatch', { accepted: false })
    assert.equal(standingOf(state, 'member'), 'banned')
    assert.equal(state.judged.size, MAX_STRANGERS + 1)
    for (let n = 0; n < MAX_JUDGED; n++) offend(`M${n}`, 'norm_mismatch')
    assert.equal(state.judged.size, MAX_JUDGED)
    assert.equal(standingOf(state, 'member'), 'banned')
  })

  it('bans nobody by audits, and audits do not help a ban', () => {
    for (let n = 0; n < 20; n++) offend('X', 'audit_harmful')
    assert.equal(standingOf(state, 'X'), 'probation')
    for (let n = 0; n < 3; n++) offend('X', 'norm_mismatch')
    assert.equal(standingOf(state, 'X'), 'probation')
    offend('X', 'norm_mismatch')
    assert.equal(standingOf(state, 'X'), 'banned')
  })

  it("keeps the operator's word above all else", () => {
    assert.deepEqual(standings(tell({ type: 'ban', peer: 'X', reason: 'spam', until: null })), ['banned'])
    now += 1000 * HOUR_MS
    assert.deepEqual(standings(tick()), [])
    assert.deepEqual(standings(tell({ type: 'unban', peer: 'X' })), ['good'])
    for (let n = 0; n < 4; n++) offend('Y', 'norm_mismatch')
    tell({ type: 'unban', peer: 'Y' })
    assert.equal(standingOf(state, 'Y'), 'good')
    tell({ type: 'ban', peer: 'Z', reason: 'for a while', until: now + HOUR_MS })
    now += HOUR_MS
    assert.deepEqual(standings(tick()), ['good'])
    assert.deepEqual(tell({ type: 'ban', peer: 'self', reason: 'no', until: null }), [])
  })

  it('remembers a bounded number of peers, accused and accusers, and forgets the banned last', () => {
    tell({ type: 'ban', peer: 'worst', reason: 'spam', until: null })
    for (let n = 0; n < MAX_JUDGED + 100; n++) offend(`X${n}`, 'non_finite')
    assert.equal(state.judged.size, MAX_JUDGED)
    assert.equal(standingOf(state, 'worst'), 'banned')
    for (let n = 0; n < 1_000; n++) opinion(`A${n % 100}`, `Y${n}`)
    assert.ok(state.accused.size <= MAX_ACCUSED)
    now += OPINION_VALID_MS
    for (let n = 0; n < 100; n++) opinion('A1', `Z${n}`)
    const ofOne = [...state.accused.values()].filter(accusers => accusers.has('A1')).length
    assert.equal(ofOne, MAX_OPINIONS_PER_AUTHOR)
  })

  it('goes on from what was kept', () => {
    for (let n = 0; n < 4; n++) offend('X', 'norm_mismatch')
    const rows = [...state.judged.values()].map(row => JSON.parse(JSON.stringify(row)) as typeof row)
    const again = createTrust('self', rows)
    assert.equal(standingOf(again, 'X'), 'banned')
    assert.deepEqual(again.judged, state.judged)
  })
})
