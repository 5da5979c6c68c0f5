// This node's own admission to a run by invitation: the grant that its contributions carry, got from an inviter and renewed before it ends.
import {
  ADMISSION_REFUSALS,
  type AdmissionAnswer,
  type AdmissionRequest,
  type Grant,
  type InvitationText,
  isAdmissionRefusal,
  MAX_INVITERS_ASKED,
  openGrant,
  RENEW_AT,
  type SignedGrant
} from '../../protocols/admission/index.ts'
import type { Store } from '../../storage/index.ts'
import { codeOf, DaemonError, isCodedError, reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'
import type { Manifest } from '../manifest.ts'

/** A row of the table `grants`. The invitation's secret is here until it has brought a grant, because its inviter may not be there yet. */
export interface GrantRow {
  /** The signed block, base64. */
  grant: string | null
  invitation: { inviter: string; addresses: string[]; secret: string } | null
  name: string | null
}

export interface AdmittanceComponents {
  run: string
  self: string
  manifest: Manifest
  store: Store
  events: EventLog
  /** Puts a request to an inviter, dialling it if need be. */
  ask(peer: string, request: AdmissionRequest, options: { signal: AbortSignal }): Promise<AdmissionAnswer>
  /** Calls an address; resolves with the peer found there. */
  connect(address: string, options: { signal: AbortSignal }): Promise<string>
  isConnected(peer: string): boolean
  /** Whether it was heard of late, by whatever way. */
  isPresent(peer: string): boolean
  /** At least 0 and less than 1. @default Math.random */
  lot?: () => number
}

/** Milliseconds after a renewal that left another due before that: inviters answer one peer a few times a minute at most. */
const RENEW_RETRY_MS = 10_000
/** Milliseconds that the call of an invitation's address may take. */
const CONNECT_TIMEOUT_MS = 5_000

/** True where a manifest lets this peer in only by somebody's word. */
export function needsGrant({ admission, genesis }: Manifest, peer: string): boolean {
  if (admission === 'open' || Array.isArray(admission)) return false
  return !admission.invitation.inviters.includes(peer) && !genesis.peers.includes(peer)
}

/** Notes an invitation before its inviter is asked. A grant that is held stays. */
export async function keepInvitation(
  store: Store,
  { run, inviter, addresses, secret }: InvitationText,
  name: string | null
): Promise<void> {
  const table = store.records.table<GrantRow>('grants')
  const before = await table.get(run)
  const invitation = { inviter, addresses, secret: Buffer.from(secret).toString('base64') }
  await table.put(run, { grant: before?.grant ?? null, invitation, name: name ?? before?.name ?? null }, { sync: true })
}

/** Forgets the run's grant, too: who leaves and comes back asks again. */
export async function forgetAdmittance(store: Store, run: string): Promise<void> {
  await store.records.table('grants').delete(run, { sync: true })
}

export class Admittance {
  readonly #c: AdmittanceComponents
  readonly #inviters: string[]
  readonly #grantRounds: number
  #row: GrantRow
  #grant: SignedGrant | null = null
  #renewing: Promise<void> | null = null
  /** Of the head, as told last. */
  #round = 0
  /** When a renewal failed, or brought too little. */
  #inVainAtMs = Number.NEGATIVE_INFINITY
  /** Why the last renewal failed. */
  #trouble: { code: string; message: string } | null = null
  readonly #stopping = new AbortController()
  /** Called when a grant has come. */
  onRenewed: () => void = () => {}

  private constructor(components: AdmittanceComponents, row: GrantRow) {
    this.#c = components
    const { admission } = components.manifest
    if (admission === 'open' || Array.isArray(admission)) throw new TypeError('this run does not admit by invitation')
    this.#inviters = admission.invitation.inviters
    this.#grantRounds = admission.invitation.grantRounds
    this.#row = row
  }

  /**
   * Reads the grant that this node holds, or gets one.
   *
   * @throws DaemonError admission_pending where nobody has decided yet or can be reached; else the code of the inviter's refusal
   */
  static async open(components: AdmittanceComponents, signal: AbortSignal): Promise<Admittance> {
    const row = await components.store.records.table<GrantRow>('grants').get(components.run)
    const admittance = new Admittance(components, row ?? { grant: null, invitation: null, name: null })
    if (admittance.#row.grant !== null) {
      const held = await openGrant(Buffer.from(admittance.#row.grant, 'base64')).catch(() => null)
      // One of another identity, which had this home before, lets this one in nowhere: it asks anew.
      if (held !== null && admittance.#isOurs(held)) admittance.#grant = held
    }
    // An old one may have ended long ago: the head tells, and until then it is a grant.
    if (admittance.#grant === null) await admittance.#obtain(signal)
    return admittance
  }

  /** The grant for a contribution to this round; undefined where none holds. */
  grantFor(round: number): SignedGrant | undefined {
    return this.#grant !== null && this.#holds(this.#grant, round) ? this.#grant : undefined
  }

  /** Whether only an inviter's word helps. A grant of one that is many rounds ahead reaches too far for this round: catching up helps there, too. */
  isWaiting(round: number): boolean {
    return this.#grant === null || round > this.#grant.untilRound
  }

  /** Why this node cannot contribute to the round, or may soon not, for want of a grant; null where that is not so. */
  reason(round: number): string | null {
    const why = this.#trouble === null ? '' : `: ${this.#trouble.message}`
    if (this.isWaiting(round)) return `waiting for admission by ${this.#inviters.join(' or ')}${why}`
    const { untilRound } = this.#grant!
    if (this.grantFor(round) === undefined) return `admitted from round ${untilRound - this.#grantRounds} on${why}`
    return this.#trouble === null ? null : `admitted up to round ${untilRound} only${why}`
  }

  /** Renews the grant in time; nothing to wait for. */
  headMoved(round: number): void {
    this.#round = round
    // It held for later rounds only, and those have come.
    if (!this.#isDue()) this.#trouble = null
    const isTooSoon = performance.now() - this.#inVainAtMs < RENEW_RETRY_MS
    if (!this.#isDue() || this.#renewing !== null || isTooSoon || this.#stopping.signal.aborted) return
    this.#renewing = this.#renew().finally(() => {
      this.#renewing = null
      if (this.#isDue()) this.#inVainAtMs = performance.now()
    })
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DaemonError('stopping', 'the run is being left'))
    await this.#renewing
  }

  /** Also where the grant reaches too far: it may be of a branch that lost, on which this node would wait for rounds that come much later now. */
  #isDue(): boolean {
    const grant = this.grantFor(this.#round + 1)
    return grant === undefined || grant.untilRound - this.#round < RENEW_AT * this.#grantRounds
  }

  #holds({ untilRound }: Grant, round: number): boolean {
    return round <= untilRound && untilRound - round <= this.#grantRounds
  }

  async #renew(): Promise<void> {
    const { events, run } = this.#c
    const held = this.#grant
    try {
      await this.#obtain(this.#stopping.signal)
      this.#trouble = null
      if (this.#grant === held) return
      events.emit({
        type: 'admission',
        run,
        message: `admitted up to round ${this.#grant!.untilRound}`,
        data: { untilRound: this.#grant!.untilRound }
      })
      this.onRenewed()
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      const code = codeOf(error)
      const isNews = this.#trouble?.code !== code
      this.#trouble = { code, message: reasonOf(error) }
      if (isNews) events.emit({ type: 'admission', run, code, message: `the admission could not be renewed: ${reasonOf(error)}` })
    }
  }

  /**
   * Asks the inviters one after the other until one grants what is better than what is held; what it says is on disk before it is used.
   * Nothing is wrong where one grants what is no better and what is held has not ended: that inviter is behind, or all are further on than this node.
   */
  async #obtain(signal: AbortSignal): Promise<void> {
    const { invitation } = this.#row
    if (invitation !== null && !this.#c.isConnected(invitation.inviter)) await this.#callInviter(invitation.addresses, signal)
    const asked = this.#inOrder(invitation?.inviter)
    const waiting: string[] = []
    let refusal: DaemonError | null = null
    let isStillAdmitted = false
    for (const inviter of asked) {
      const isItsOwn = inviter === invitation?.inviter
      // An invitation is good with its inviter only, and nobody else is shown its secret.
      const secret = isItsOwn ? Buffer.from(invitation!.secret, 'base64') : null
      try {
        const answer = await this.#c.ask(
          inviter,
          { say: 'admit', run: this.#c.run, name: this.#row.name, secret, grant: this.#grant?.bytes ?? null },
          { signal }
        )
        if (answer.is === 'granted') {
          if (await this.#take(answer.grant)) return
          isStillAdmitted = true
        } else if (answer.is === 'pending') waiting.push(inviter)
        // Others say nothing of an invitation that they do not know: their no is not its end.
        else if (isItsOwn || invitation === null)
          refusal ??= this.#refusalOf(inviter, answer.is === 'refused' ? answer.code : 'not_an_inviter')
        // Its inviter has spoken; where it is gone, or in the run no more, another may have admitted this node meanwhile.
        if (isItsOwn && answer.is !== 'granted' && refusal?.code !== 'not_an_inviter') break
      } catch (error) {
        signal.throwIfAborted()
        if (!isCodedError(error)) throw error
      }
    }
    if (isStillAdmitted && !this.isWaiting(this.#round + 1)) return
    if (waiting.length > 0) {
      const deciders = invitation === null ? waiting : [...new Set([invitation.inviter, ...waiting])]
      throw new DaemonError('admission_pending', `waiting for admission by ${deciders.join(' or ')}`, {
        hint: `on that node: shoal run admit RUN ${this.#c.self}`
      })
    }
    if (refusal !== null && !['not_an_inviter', 'too_many_requests'].includes(refusal.code)) throw refusal
    throw new DaemonError(
      'admission_pending',
      `waiting for admission by ${asked.join(' or ')}, who cannot be reached or cannot answer now`,
      {
        hint: '`shoal peers` shows who is connected; an inviter must take part in the run itself'
      }
    )
  }

  /** Whom to ask, one after the other: the inviter of an invitation first, then those who are here. The others by lot: the first of them may be gone for good. */
  #inOrder(first: string | undefined): string[] {
    const { isConnected, isPresent, lot = Math.random } = this.#c
    const rankOf = (inviter: string): number => (inviter === first ? 3 : isConnected(inviter) ? 2 : isPresent(inviter) ? 1 : lot())
    const known = first === undefined ? this.#inviters : [...new Set([first, ...this.#inviters])]
    const ranks = new Map(known.map(inviter => [inviter, rankOf(inviter)]))
    return [...known].sort((a, b) => ranks.get(b)! - ranks.get(a)!).slice(0, MAX_INVITERS_ASKED)
  }

  /** For this node, in this run, by an inviter of it. */
  #isOurs({ run, peer, inviter }: Grant): boolean {
    return run === this.#c.run && peer === this.#c.self && this.#inviters.includes(inviter)
  }

  /** @returns false where what is held is as good */
  async #take(bytes: Uint8Array): Promise<boolean> {
    const grant = await openGrant(bytes)
    const { run, store } = this.#c
    if (!this.#isOurs(grant))
      throw new DaemonError('not_an_inviter', `the grant of ${grant.inviter} is not for this node or not by an inviter of the run`)
    if (this.#grant !== null && !this.#isBetter(grant, this.#grant)) return false
    const row: GrantRow = { grant: Buffer.from(bytes).toString('base64'), invitation: null, name: this.#row.name }
    await store.records.table<GrantRow>('grants').put(run, row, { sync: true })
    this.#row = row
    this.#grant = grant
    return true
  }

  /** What holds for the next round, else what ends later: an inviter that is behind signs for less. Where both reach too far, what is held will do as well. */
  #isBetter(grant: Grant, held: Grant): boolean {
    const round = this.#round + 1
    if (this.#holds(grant, round) !== this.#holds(held, round)) return this.#holds(grant, round)
    return grant.untilRound > held.untilRound && held.untilRound - round <= this.#grantRounds
  }

  /** The addresses may be of an earlier life of the inviter's: then it is found by its id, or not. */
  async #callInviter(addresses: string[], signal: AbortSignal): Promise<void> {
    for (const address of addresses) {
      const within = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)])
      const peer = await this.#c.connect(address, { signal: within }).catch(() => null)
      signal.throwIfAborted()
      if (peer !== null) return
    }
  }

  #refusalOf(inviter: string, code: string): DaemonError {
    const known = isAdmissionRefusal(code) ? code : 'not_admitted'
    return new DaemonError(known, `${inviter} does not admit this node (${this.#c.self}): ${ADMISSION_REFUSALS[known]}`, {
      hint: `Ask whoever keeps that node for: shoal run invite RUN, or: shoal run admit RUN ${this.#c.self}`
    })
  }
}
