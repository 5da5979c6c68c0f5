// Whom an inviter lets into one run: (state, event, now) -> state and commands, with no socket, disk or clock. The state is changed in place.
// What must survive a kill is named by `keep` and `forget`; whoever obeys writes that down before it gives the answer.
import { RecentMap } from '../recent-map.ts'
import {
  ASK_WINDOW_MS,
  MAX_ADMITTED,
  MAX_ASKERS,
  MAX_ASKS,
  MAX_HEARSAY,
  MAX_INVITATIONS,
  MAX_PENDING,
  MAX_PENDING_PER_ADDRESS,
  MAX_SPENT_INVITATIONS,
  PENDING_KEEP_MS,
  PENDING_NOTE_MS
} from './constants.ts'
import type { Grant } from './messages.ts'
import type { AdmissionRefusal } from './refusals.ts'

/** An invitation as its inviter keeps it: of the secret only the hash. */
export interface Invitation {
  /** The first letters of the hash, by which people name it. */
  id: string
  /** SHA-256 of the secret, hex. */
  secretHash: string
  /** Unix ms. */
  createdAt: number
  /** Unix ms; null: it does not expire. */
  expiresAt: number | null
  /** How many peers may use it. */
  uses: number
  usedBy: string[]
  /** The only peer that may use it; null: anybody. */
  peer: string | null
  revoked: boolean
}

/** A peer that asked, and what was said of it. */
export interface Candidate {
  peer: string
  state: 'pending' | 'admitted' | 'refused' | 'revoked'
  /** Unix ms of that state, and of the newest request. */
  since: number
  askedAt: number
  /** Where it asked from, without its port. */
  address: string | null
  /** What it calls itself. */
  name: string | null
  /** Who or what let it in: an invitation's id, another inviter's peer id, or null for this node's operator. */
  by: string | null
  /** Inviters that do not know yet that it was revoked here. */
  untold: string[]
}

export interface DeskState {
  run: string
  self: string
  /** All inviters of the run. */
  inviters: readonly string[]
  invitations: Map<string, Invitation>
  candidates: Map<string, Candidate>
  /** Requests by peer in the window that began `since`. */
  asked: Map<string, { since: number; count: number }>
}

export type DeskEvent =
  /** `grant`: one that it holds, opened and verified; `round`: of our head; `banned`: this node has banned it. */
  | {
      type: 'asked'
      peer: string
      address: string | null
      name: string | null
      secretHash: string | null
      grant: Grant | null
      round: number
      banned: boolean
    }
  | { type: 'invited'; invitation: Invitation }
  | { type: 'revokeInvitation'; id: string }
  /** The operator's word. Who was let in before is revoked where it is refused. */
  | { type: 'decided'; peer: string; state: 'admitted' | 'refused' | 'revoked' }
  /** Another inviter revoked this peer. */
  | { type: 'toldRevoked'; inviter: string; peer: string }
  /** Another inviter has noted our revocation. */
  | { type: 'noted'; inviter: string; peer: string }

type Asked = Extract<DeskEvent, { type: 'asked' }>

export type DeskCommand =
  | { type: 'keep'; row: Invitation | Candidate }
  | { type: 'forget'; peer: string }
  | { type: 'forgetInvitation'; id: string }
  /** The answer to the one who asked. */
  | { type: 'grant'; peer: string }
  | { type: 'pending'; peer: string; isNew: boolean }
  | { type: 'refuse'; peer: string; code: AdmissionRefusal }
  /** The operator wanted something impossible. */
  | { type: 'impossible'; code: 'unknown_invitation' | 'too_many_invitations' | 'too_many_admitted' }

export function openDesk(
  { run, self, inviters }: { run: string; self: string; inviters: readonly string[] },
  rows: { invitations: Invitation[]; candidates: Candidate[] }
): DeskState {
  return {
    run,
    self,
    inviters,
    invitations: new Map(rows.invitations.map(row => [row.id, row])),
    candidates: new Map(rows.candidates.map(row => [row.peer, row])),
    asked: new RecentMap(MAX_ASKERS)
  }
}

/** @param now Unix ms by this node's own clock: only its own invitations are compared with it */
export function decide(state: DeskState, event: DeskEvent, now: number): { state: DeskState; commands: DeskCommand[] } {
  const out: DeskCommand[] = []
  take(state, event, now, out)
  return { state, commands: out }
}

function take(state: DeskState, event: DeskEvent, now: number, out: DeskCommand[]): void {
  switch (event.type) {
    case 'asked':
      out.push(answerTo(state, event, now, out))
      return
    case 'invited':
      invite(state, event.invitation, now, out)
      return
    case 'revokeInvitation': {
      const invitation = state.invitations.get(event.id)
      if (invitation === undefined) {
        out.push({ type: 'impossible', code: 'unknown_invitation' })
        return
      }
      invitation.revoked = true
      out.push({ type: 'keep', row: invitation })
      return
    }
    case 'decided': {
      const known = state.candidates.get(event.peer)
      if (isFull(state, known)) {
        out.push({ type: 'impossible', code: 'too_many_admitted' })
        return
      }
      // Who was let in may hold a grant, which the others renew as long as they have not heard.
      const wasLetIn = known?.state === 'admitted' || known?.state === 'revoked'
      const decided = event.state === 'refused' && wasLetIn ? 'revoked' : event.state
      const untold = decided === 'revoked' ? state.inviters.filter(inviter => inviter !== state.self) : []
      place(state, { ...(known ?? blank(event.peer, now)), state: decided, since: now, by: null, untold }, out)
      return
    }
    case 'toldRevoked':
      noteRevoked(state, event, now, out)
      return
    case 'noted': {
      const known = state.candidates.get(event.peer)
      if (known === undefined || !known.untold.includes(event.inviter)) return
      place(state, { ...known, untold: known.untold.filter(inviter => inviter !== event.inviter) }, out)
      return
    }
    default:
      event satisfies never
  }
}

/** Another inviter's word: only whom we would otherwise renew, since each inviter's word is about those who have a grant. */
function noteRevoked(state: DeskState, { inviter, peer }: { inviter: string; peer: string }, now: number, out: DeskCommand[]): void {
  if (asksTooMuch(state, inviter, now)) {
    out.push({ type: 'refuse', peer: inviter, code: 'too_many_requests' })
    return
  }
  const known = state.candidates.get(peer)
  if (!state.inviters.includes(inviter) || state.inviters.includes(peer) || known?.state === 'revoked') return
  const wasOurs = known !== undefined && known.state !== 'pending'
  if (!wasOurs) {
    const hearsay = [...state.candidates.values()].filter(isHearsay).sort((a, b) => a.since - b.since)
    for (const row of hearsay.slice(0, Math.max(0, hearsay.length + 1 - MAX_HEARSAY))) {
      state.candidates.delete(row.peer)
      out.push({ type: 'forget', peer: row.peer })
    }
  }
  const askedAt = wasOurs ? known.askedAt : now
  place(state, { ...(known ?? blank(peer, now)), state: 'revoked', since: now, askedAt, by: inviter, untold: [] }, out)
}

/** Revoked by another inviter before it was let in here: it was never asked for after that moment. */
function isHearsay({ state, by, since, askedAt }: Candidate): boolean {
  return state === 'revoked' && by !== null && since === askedAt
}

/** No place for one more peer of our own; what others say of strangers takes none. */
function isFull(state: DeskState, known: Candidate | undefined): boolean {
  if (known !== undefined && !isHearsay(known)) return false
  let own = 0
  for (const row of state.candidates.values()) if (!isHearsay(row)) own++
  return own >= MAX_ADMITTED
}

function asksTooMuch(state: DeskState, peer: string, now: number): boolean {
  const before = state.asked.get(peer)
  const asked = before !== undefined && now >= before.since && now - before.since < ASK_WINDOW_MS ? before : { since: now, count: 0 }
  asked.count++
  state.asked.set(peer, asked)
  return asked.count > MAX_ASKS
}

/** The answer; what has to be written down before it is given is pushed before it. */
function answerTo(state: DeskState, event: Asked, now: number, out: DeskCommand[]): DeskCommand {
  const { peer, grant } = event
  const refuse = (code: AdmissionRefusal): DeskCommand => ({ type: 'refuse', peer, code })
  if (asksTooMuch(state, peer, now)) return refuse('too_many_requests')
  if (event.banned) return refuse('not_admitted')
  const known = state.candidates.get(peer)
  const seen = { ...(known ?? blank(peer, now)), askedAt: now, address: event.address, name: event.name ?? known?.name ?? null }
  if (known?.state === 'admitted') return { type: 'grant', peer }
  const noPlace = isFull(state, known)
  const admit = (by: string): DeskCommand => {
    place(state, { ...seen, state: 'admitted', since: now, by, untold: [] }, out)
    return { type: 'grant', peer }
  }
  if (event.secretHash !== null) {
    const invitation = use(state, event.secretHash, peer, known, now)
    if (typeof invitation === 'string') return refuse(invitation)
    if (noPlace) return refuse('too_many_requests')
    if (!invitation.usedBy.includes(peer)) invitation.usedBy.push(peer)
    out.push({ type: 'keep', row: invitation })
    return admit(invitation.id)
  }
  if (known?.state === 'revoked') return refuse('admission_revoked')
  if (known?.state === 'refused') return refuse('not_admitted')
  if (grant !== null && isRenewable(state, grant, event)) return noPlace ? refuse('too_many_requests') : admit(grant.inviter)
  if (known === undefined && !hasRoom(state, event.address, now, out)) return refuse('too_many_requests')
  if (known === undefined || now - known.askedAt >= PENDING_NOTE_MS) place(state, { ...seen, state: 'pending' }, out)
  return { type: 'pending', peer, isNew: known === undefined }
}

/** The invitation that lets this peer in, or why none does. Somebody who was sent away comes back only by an invitation made after that. */
function use(state: DeskState, secretHash: string, peer: string, known: Candidate | undefined, now: number): Invitation | AdmissionRefusal {
  const invitation = [...state.invitations.values()].find(row => row.secretHash === secretHash)
  if (invitation === undefined) return 'invitation_unknown'
  if (invitation.revoked) return 'invitation_revoked'
  if (invitation.peer !== null && invitation.peer !== peer) return 'invitation_for_another'
  const wasSentAway = known?.state === 'revoked' || known?.state === 'refused'
  if (wasSentAway && known.since >= invitation.createdAt) return known.state === 'revoked' ? 'admission_revoked' : 'not_admitted'
  if (invitation.usedBy.includes(peer)) return invitation
  if (isExpired(invitation, now)) return 'invitation_expired'
  if (invitation.usedBy.length >= invitation.uses) return 'invitation_used_up'
  return invitation
}

/** Another inviter's word that still holds: any inviter renews it. */
function isRenewable(state: DeskState, grant: Grant, { peer, round }: { peer: string; round: number }): boolean {
  return grant.run === state.run && grant.peer === peer && state.inviters.includes(grant.inviter) && grant.untilRound >= round
}

/** Room for one more stranger: those who stopped asking are forgotten first. */
function hasRoom(state: DeskState, address: string | null, now: number, out: DeskCommand[]): boolean {
  let pending = 0
  let fromThere = 0
  for (const row of [...state.candidates.values()]) {
    if (row.state !== 'pending') continue
    // What a clock that was once ahead wrote is as old.
    if (Math.abs(now - row.askedAt) > PENDING_KEEP_MS) {
      state.candidates.delete(row.peer)
      out.push({ type: 'forget', peer: row.peer })
      continue
    }
    pending++
    if (row.address === address) fromThere++
  }
  return pending < MAX_PENDING && fromThere < MAX_PENDING_PER_ADDRESS
}

function invite(state: DeskState, invitation: Invitation, now: number, out: DeskCommand[]): void {
  const rows = [...state.invitations.values()]
  const spent = rows.filter(row => !isUsable(row, now)).sort((a, b) => a.createdAt - b.createdAt)
  if (rows.length - spent.length >= MAX_INVITATIONS) {
    out.push({ type: 'impossible', code: 'too_many_invitations' })
    return
  }
  for (const { id } of spent.slice(0, Math.max(0, spent.length - MAX_SPENT_INVITATIONS))) {
    state.invitations.delete(id)
    out.push({ type: 'forgetInvitation', id })
  }
  state.invitations.set(invitation.id, invitation)
  out.push({ type: 'keep', row: invitation })
}

/** Whether somebody new could still come in by it. */
export function isUsable(invitation: Invitation, now: number): boolean {
  return !invitation.revoked && !isExpired(invitation, now) && invitation.usedBy.length < invitation.uses
}

function isExpired({ expiresAt }: Invitation, now: number): boolean {
  return expiresAt !== null && now >= expiresAt
}

function place(state: DeskState, row: Candidate, out: DeskCommand[]): void {
  state.candidates.set(row.peer, row)
  out.push({ type: 'keep', row })
}

function blank(peer: string, now: number): Candidate {
  return { peer, state: 'pending', since: now, askedAt: now, address: null, name: null, by: null, untold: [] }
}
