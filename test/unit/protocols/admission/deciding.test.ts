import assert from 'node:assert/strict'
import {
  ASK_WINDOW_MS,
  MAX_ADMITTED,
  MAX_ASKS,
  MAX_HEARSAY,
  MAX_PENDING_PER_ADDRESS,
  PENDING_KEEP_MS
} from '../../../../protocols/admission/constants.ts'
import {
  type DeskCommand,
  type DeskEvent,
  type DeskState,
  decide,
  type Grant,
  type Invitation,
  openDesk
} from '../../../../protocols/admission/index.ts'

const DAY_MS = 24 * 60 * 60_000
const invitation = (more: Partial<Invitation> = {}): Invitation => ({
  id: 'i1',
  secretHash: 'hash1',
  createdAt: 0,
  expiresAt: DAY_MS,
  uses: 1,
  usedBy: [],
  peer: null,
  revoked: false,
  ...more
})

describe('decide() of admission', () => {
  let state: DeskState
  let now: number
  beforeEach(() => {
    now = 1_000
    state = openDesk({ run: 'run', self: 'A', inviters: ['A', 'B'] }, { invitations: [], candidates: [] })
  })
  const tell = (event: DeskEvent): DeskCommand[] => decide(state, event, now).commands
  const ask = (peer: string, more: Partial<Extract<DeskEvent, { type: 'asked' }>> = {}): DeskCommand => {
    now += ASK_WINDOW_MS
    const event: DeskEvent = {
      type: 'asked',
      peer,
      address: '10.0.0.1',
      name: null,
      secretHash: null,
      grant: null,
      round: 10,
      banned: false,
      ...more
    }
    return tell(event).at(-1)!
  }
  const grant = (more: Partial<Grant> = {}): Grant => ({ run: 'run', peer: 'X', inviter: 'B', untilRound: 10, ...more })

  it('lets a stranger wait until the operator has spoken', () => {
    assert.deepEqual(ask('X'), { type: 'pending', peer: 'X', isNew: true })
    assert.deepEqual(ask('X'), { type: 'pending', peer: 'X', isNew: false })
    tell({ type: 'decided', peer: 'X', state: 'admitted' })
    assert.deepEqual(ask('X'), { type: 'grant', peer: 'X' })
    tell({ type: 'decided', peer: 'X', state: 'revoked' })
    assert.deepEqual(ask('X'), { type: 'refuse', peer: 'X', code: 'admission_revoked' })
    tell({ type: 'decided', peer: 'Y', state: 'refused' })
    assert.deepEqual(ask('Y'), { type: 'refuse', peer: 'Y', code: 'not_admitted' })
  })

  it('grants to whoever has an invitation, as often as it may be used, and writes that down first', () => {
    tell({ type: 'invited', invitation: invitation() })
    now += ASK_WINDOW_MS
    const commands = tell({
      type: 'asked',
      peer: 'X',
      address: null,
      name: 'attic',
      secretHash: 'hash1',
      grant: null,
      round: 1,
      banned: false
    })
    assert.deepEqual(
      commands.map(command => (command.type === 'keep' ? ('id' in command.row ? command.row.usedBy : command.row.state) : command.type)),
      [['X'], 'admitted', 'grant']
    )
    assert.deepEqual(ask('X', { secretHash: 'hash1' }), { type: 'grant', peer: 'X' })
    assert.deepEqual(ask('Y', { secretHash: 'hash1' }), { type: 'refuse', peer: 'Y', code: 'invitation_used_up' })
    assert.deepEqual(ask('Y', { secretHash: 'hash2' }), { type: 'refuse', peer: 'Y', code: 'invitation_unknown' })
  })

  it('says of each invitation that does not let in why', () => {
    const rows: [Partial<Invitation>, string][] = [
      [{ expiresAt: now }, 'invitation_expired'],
      [{ revoked: true }, 'invitation_revoked'],
      [{ peer: 'Y' }, 'invitation_for_another'],
      [{ uses: 0 }, 'invitation_used_up']
    ]
    for (const [more, code] of rows) {
      tell({ type: 'invited', invitation: invitation(more) })
      assert.deepEqual(ask('X', { secretHash: 'hash1' }), { type: 'refuse', peer: 'X', code })
    }
    tell({ type: 'invited', invitation: invitation({ expiresAt: null }) })
    tell({ type: 'revokeInvitation', id: 'i1' })
    assert.deepEqual(ask('X', { secretHash: 'hash1' }), { type: 'refuse', peer: 'X', code: 'invitation_revoked' })
    assert.deepEqual(tell({ type: 'revokeInvitation', id: 'i9' }), [{ type: 'impossible', code: 'unknown_invitation' }])
  })

  it('lets whoever was sent away back in by a newer invitation only', () => {
    tell({ type: 'invited', invitation: invitation({ uses: 5 }) })
    ask('X', { secretHash: 'hash1' })
    tell({ type: 'decided', peer: 'X', state: 'revoked' })
    assert.deepEqual(ask('X', { secretHash: 'hash1' }), { type: 'refuse', peer: 'X', code: 'admission_revoked' })
    tell({ type: 'invited', invitation: invitation({ id: 'i2', secretHash: 'hash2', createdAt: now + 1 }) })
    assert.deepEqual(ask('X', { secretHash: 'hash2' }), { type: 'grant', peer: 'X' })
  })

  it("renews another inviter's grant while it holds, unless that inviter has taken it back", () => {
    assert.equal(ask('X', { grant: grant({ untilRound: 9 }) }).type, 'pending')
    assert.equal(ask('Y', { grant: grant() }).type, 'pending')
    assert.equal(ask('Z', { grant: grant({ peer: 'Z', inviter: 'Z' }) }).type, 'pending')
    assert.equal(ask('X', { grant: grant() }).type, 'grant')
    tell({ type: 'toldRevoked', inviter: 'stranger', peer: 'X' })
    assert.equal(ask('X', { grant: grant() }).type, 'grant')
    tell({ type: 'toldRevoked', inviter: 'B', peer: 'X' })
    assert.deepEqual(ask('X', { grant: grant() }), { type: 'refuse', peer: 'X', code: 'admission_revoked' })
    tell({ type: 'toldRevoked', inviter: 'B', peer: 'A' })
    assert.equal(state.candidates.has('A'), false)
  })

  it('knows which inviters have not heard of a revocation', () => {
    tell({ type: 'decided', peer: 'X', state: 'revoked' })
    assert.deepEqual(state.candidates.get('X')?.untold, ['B'])
    tell({ type: 'noted', inviter: 'B', peer: 'X' })
    assert.deepEqual(state.candidates.get('X')?.untold, [])
  })

  it('revokes who is refused after it was let in, so that the other inviters hear of it', () => {
    tell({ type: 'decided', peer: 'X', state: 'admitted' })
    for (let n = 0; n < 2; n++) {
      tell({ type: 'decided', peer: 'X', state: 'refused' })
      const { state: kept, untold } = state.candidates.get('X')!
      assert.deepEqual([kept, untold], ['revoked', ['B']])
    }
    ask('Y')
    tell({ type: 'decided', peer: 'Y', state: 'refused' })
    const { state: kept, untold } = state.candidates.get('Y')!
    assert.deepEqual([kept, untold], ['refused', []], 'who was never let in has no grant of ours')
  })

  it('keeps room for others whatever a crowd from one address asks, and forgets who stopped asking', () => {
    for (let n = 0; n < MAX_PENDING_PER_ADDRESS; n++) assert.equal(ask(`X${n}`).type, 'pending')
    assert.deepEqual(ask('late'), { type: 'refuse', peer: 'late', code: 'too_many_requests' })
    for (let n = 0; n < MAX_PENDING_PER_ADDRESS; n++) assert.equal(ask(`N${n}`, { address: null }).type, 'pending')
    assert.equal(ask('late', { address: null }).type, 'refuse', 'nowhere is one place')
    assert.equal(ask('other', { address: '10.0.0.2' }).type, 'pending')
    for (let n = 0; n < 200; n++) ask(`Y${n}`, { address: `10.1.0.${n}` })
    assert.ok(state.candidates.size <= 64)
    now += PENDING_KEEP_MS + 1
    assert.equal(ask('late').type, 'pending')
    assert.equal(state.candidates.size, 1)
  })

  it('hears a bounded number of revocations of strangers, from each inviter in its turn, and keeps every place for its own', () => {
    const told = (peer: string) => tell({ type: 'toldRevoked', inviter: 'B', peer })
    for (let n = 0; n < MAX_ASKS; n++) assert.equal(told(`S${n}`)[0]?.type, 'keep')
    assert.deepEqual(told('S10'), [{ type: 'refuse', peer: 'B', code: 'too_many_requests' }])
    tell({ type: 'decided', peer: 'mine', state: 'admitted' })
    for (let n = 0; n < MAX_HEARSAY + 100; n++) {
      now += ASK_WINDOW_MS
      told(`T${n}`)
    }
    assert.equal(state.candidates.size, MAX_HEARSAY + 1)
    assert.equal(state.candidates.has('S0'), false)
    assert.deepEqual(ask(`T${MAX_HEARSAY}`), { type: 'refuse', peer: `T${MAX_HEARSAY}`, code: 'admission_revoked' })
    for (let n = 0; n < MAX_ADMITTED - 1; n++)
      assert.notEqual(tell({ type: 'decided', peer: `A${n}`, state: 'admitted' })[0]?.type, 'impossible', `${n}`)
    assert.deepEqual(tell({ type: 'decided', peer: 'late', state: 'admitted' }), [{ type: 'impossible', code: 'too_many_admitted' }])
    now += ASK_WINDOW_MS
    told('mine')
    assert.deepEqual(ask('mine'), { type: 'refuse', peer: 'mine', code: 'admission_revoked' })
  })

  it('does not answer the same peer all the time, and never one that is banned', () => {
    const again: DeskEvent = { type: 'asked', peer: 'X', address: null, name: null, secretHash: null, grant: null, round: 1, banned: false }
    for (let n = 0; n < MAX_ASKS; n++) assert.equal(tell(again).at(-1)?.type, 'pending')
    assert.deepEqual(tell(again), [{ type: 'refuse', peer: 'X', code: 'too_many_requests' }])
    assert.deepEqual(ask('B1', { banned: true }), { type: 'refuse', peer: 'B1', code: 'not_admitted' })
  })

  it('keeps a bounded number of invitations, the spent ones only to say why', () => {
    for (let n = 0; n < 256; n++) tell({ type: 'invited', invitation: invitation({ id: `i${n}`, secretHash: `h${n}` }) })
    assert.deepEqual(tell({ type: 'invited', invitation: invitation({ id: 'one more' }) }), [
      { type: 'impossible', code: 'too_many_invitations' }
    ])
    now = 2 * DAY_MS
    for (let n = 0; n < 20; n++) tell({ type: 'invited', invitation: invitation({ id: `j${n}`, expiresAt: null }) })
    assert.ok(state.invitations.size <= 512)
  })
})
