// This node as an inviter: keeps whom it let into which run, answers those who ask, and tells the other inviters whom it has sent away.
// What is decided is decided by protocols/admission; here it is written down before anybody hears of it.
import { createHash, randomBytes } from 'node:crypto'
import {
  ADMISSION_REFUSALS,
  type AdmissionAnswer,
  type AdmissionRefusal,
  type AdmissionRequest,
  type Candidate,
  type DeskCommand,
  type DeskEvent,
  type DeskState,
  decide,
  encodeInvitation,
  GRANT_SLACK,
  type Grant,
  type Invitation,
  openDesk,
  openGrant,
  SECRET_BYTES,
  signGrant
} from '../../protocols/admission/index.ts'
import { RecentMap } from '../../protocols/recent-map.ts'
import type { RecordOperation, Store } from '../../storage/index.ts'
import { codeOf, DaemonError, isCodedError, reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'
import type { SigningKey } from '../manifest.ts'
import { originOf } from '../origins.ts'
import { Refusals, STRANGERS_REFUSALS } from '../refusals.ts'

/** A run for which this node may invite. */
export interface InvitingRun {
  inviters: string[]
  /** Of the manifest: how far a grant may reach. */
  grantRounds: number
  /** Of this node's head. */
  round: number
}

export interface AdmissionDeskComponents {
  self: string
  privateKey: SigningKey
  store: Store
  events: EventLog
  /** The run as this node stands in it now; null where it is not in it, or no inviter. */
  runOf(run: string): InvitingRun | null
  isBanned(peer: string): boolean
  /** Puts a request to another inviter. */
  ask(peer: string, request: AdmissionRequest): Promise<AdmissionAnswer>
}

export interface InviteOptions {
  /** Milliseconds from now; null: never. */
  expiresMs: number | null
  uses: number
  /** The only peer that may use it. */
  peer: string | null
  /** Where the inviter can be reached. */
  addresses: string[]
}

/** Letters of an invitation's hash that name it: enough to tell a few hundred apart, and no help in guessing the secret. */
const ID_LETTERS = 12
/** Peers remembered for what was said of them last: who asks the same again is not worth another event. */
const MAX_TOLD = 1_024

export class AdmissionDesk {
  readonly #c: AdmissionDeskComponents
  readonly #desks = new Map<string, Promise<DeskState>>()
  /** As they were read last, for whoever asks without waiting. */
  readonly #open = new Map<string, DeskState>()
  /** What is decided about a run is decided one after the other, each on disk before the next. */
  readonly #turns = new Map<string, Promise<unknown>>()
  readonly #told = new RecentMap<string, string>(MAX_TOLD)
  readonly #refusals = new Refusals(STRANGERS_REFUSALS)
  #telling: Promise<void> | null = null

  constructor(components: AdmissionDeskComponents) {
    this.#c = components
  }

  /** The answer to a peer that asks from `address`, after it is on disk. */
  async answer(peer: string, request: AdmissionRequest, address: string): Promise<AdmissionAnswer> {
    const { run } = request
    const inviting = this.#c.runOf(run)
    if (inviting === null) return { is: 'refused', code: 'not_an_inviter' }
    if (request.say === 'revoked') {
      if (!inviting.inviters.includes(peer)) return { is: 'refused', code: 'not_an_inviter' }
      for (const command of await this.#decide(run, { type: 'toldRevoked', inviter: peer, peer: request.peer })) {
        if (command.type === 'refuse') return { is: 'refused', code: command.code }
        if (command.type === 'keep')
          this.#tell(run, request.peer, 'admission_revoked', `${request.peer} was sent away from the run by the inviter ${peer}`)
      }
      return { is: 'noted' }
    }
    const event: DeskEvent = {
      type: 'asked',
      peer,
      address: originOf(address),
      name: request.name,
      secretHash: request.secret === null ? null : hashOf(request.secret),
      grant: await opened(request.grant),
      round: inviting.round,
      banned: this.#c.isBanned(peer)
    }
    const commands = await this.#decide(run, event)
    for (const command of commands) {
      switch (command.type) {
        case 'grant':
          if (commands.length > 1) this.#tell(run, peer, 'peer_admitted', `${peer} was admitted to the run`)
          return { is: 'granted', grant: (await this.#sign(run, peer, inviting)).bytes }
        case 'pending':
          if (command.isNew) {
            const who = request.name === null ? peer : `${peer}, which calls itself ${request.name},`
            this.#tell(run, peer, 'admission_pending', `${who} asks to be admitted; answer it with: shoal run admit or shoal run refuse`)
          }
          return { is: 'pending' }
        case 'refuse':
          if (command.code !== 'too_many_requests') this.#tellRefused(run, peer, command.code)
          return { is: 'refused', code: command.code }
        default:
      }
    }
    return { is: 'refused', code: 'not_an_inviter' }
  }

  /** A new invitation, and the text that carries it: the only place where its secret is. */
  async invite(run: string, { expiresMs, uses, peer, addresses }: InviteOptions): Promise<{ text: string; invitation: Invitation }> {
    this.#require(run)
    const secret = randomBytes(SECRET_BYTES)
    const secretHash = hashOf(secret)
    const createdAt = Date.now()
    const invitation: Invitation = {
      id: secretHash.slice(0, ID_LETTERS),
      secretHash,
      createdAt,
      expiresAt: expiresMs === null ? null : createdAt + expiresMs,
      uses,
      usedBy: [],
      peer,
      revoked: false
    }
    await this.#decide(run, { type: 'invited', invitation })
    return { text: encodeInvitation({ run, inviter: this.#c.self, addresses, secret }), invitation }
  }

  async invitations(run: string): Promise<Invitation[]> {
    this.#require(run)
    return [...(await this.#desk(run)).invitations.values()].sort((a, b) => a.createdAt - b.createdAt)
  }

  async candidates(run: string): Promise<Candidate[]> {
    this.#require(run)
    return [...(await this.#desk(run)).candidates.values()].sort((a, b) => a.since - b.since)
  }

  /** Peers that wait for the operator's word. */
  pending(run: string): number {
    return [...(this.#open.get(run)?.candidates.values() ?? [])].filter(({ state }) => state === 'pending').length
  }

  /** The operator's word about a peer. @returns what is kept: who was let in before is revoked where it is refused */
  async decided(run: string, peer: string, word: 'admitted' | 'refused' | 'revoked'): Promise<Candidate> {
    const inviting = this.#require(run)
    if (inviting.inviters.includes(peer)) {
      throw new DaemonError('bad_request', `${peer} is an inviter of the run: the manifest admits it, and nobody can take that back`)
    }
    await this.#decide(run, { type: 'decided', peer, state: word })
    const candidate = (await this.#desk(run)).candidates.get(peer)!
    const isRevoked = candidate.state === 'revoked'
    const { code, said } = WORDS[isRevoked ? 'revoked' : word]
    this.#tell(run, peer, code, `${peer} was ${said} by this node's operator`)
    if (isRevoked) void this.tellRevocations().catch(() => {})
    return candidate
  }

  /** Nobody else comes in by it; those who did stay. @returns null where there is none of that id or text. */
  async revokeInvitation(run: string, id: string): Promise<Invitation | null> {
    this.#require(run)
    const desk = await this.#desk(run)
    if (!desk.invitations.has(id)) return null
    await this.#decide(run, { type: 'revokeInvitation', id })
    return desk.invitations.get(id)!
  }

  /** Tells every other inviter that can be reached of the peers that were sent away here and that it has not noted yet. */
  tellRevocations(): Promise<void> {
    this.#telling ??= this.#tellRevocations().finally(() => {
      this.#telling = null
    })
    return this.#telling
  }

  async #tellRevocations(): Promise<void> {
    const desks = await Promise.all(this.#desks.values())
    // Each by itself: one that is away takes ten seconds to show it.
    await Promise.allSettled(
      desks.flatMap(({ run, inviters, candidates }) => inviters.map(inviter => this.#tellInviter(run, inviter, [...candidates.values()])))
    )
  }

  /** Newest first, up to the first that it does not note: it hears a few in one window, or cannot be reached. The rest are told the next time. */
  async #tellInviter(run: string, inviter: string, candidates: Candidate[]): Promise<void> {
    const untold = candidates.filter(row => row.untold.includes(inviter)).sort((a, b) => b.since - a.since)
    for (const { peer } of untold) {
      const answer = await this.#c.ask(inviter, { say: 'revoked', run, peer })
      if (answer.is !== 'noted') return
      await this.#decide(run, { type: 'noted', inviter, peer })
    }
  }

  /** Reads what is kept of a run, so that others hear of revocations that they have not noted. What cannot be read now is read when somebody asks. */
  async load(run: string): Promise<void> {
    if (this.#c.runOf(run) === null) return
    await this.#desk(run).catch((error: unknown) => {
      const code = codeOf(error)
      this.#c.events.emit({ type: 'admission', run, code, message: `who was let into the run could not be read: ${reasonOf(error)}` })
    })
  }

  /** The hash of an invitation's secret begins with its id. */
  static idOf(secret: Uint8Array): string {
    return hashOf(secret).slice(0, ID_LETTERS)
  }

  #require(run: string): InvitingRun {
    const inviting = this.#c.runOf(run)
    if (inviting !== null) return inviting
    throw new DaemonError(
      'not_an_inviter',
      `This node cannot invite to run ${run}: it is not in it, or the manifest does not name it as an inviter`,
      {
        hint: `An inviter takes part in the run, at least with: shoal run join ${run} --no-train`
      }
    )
  }

  #sign(run: string, peer: string, { grantRounds, round }: InvitingRun) {
    const grant: Grant = { run, peer, inviter: this.#c.self, untilRound: round + grantRounds - Math.floor(GRANT_SLACK * grantRounds) }
    return signGrant(grant, this.#c.privateKey)
  }

  #decide(run: string, event: DeskEvent): Promise<DeskCommand[]> {
    const turn = (this.#turns.get(run) ?? Promise.resolve()).then(async () => {
      const { commands } = decide(await this.#desk(run), event, Date.now())
      try {
        await this.#write(run, commands)
      } catch (error) {
        // The state has what the disk has not: what was never written down must not be granted to the next who asks.
        this.#desks.delete(run)
        void this.load(run)
        throw error
      }
      return commands
    })
    const settled = turn.catch(() => {})
    this.#turns.set(run, settled)
    return turn
  }

  async #write(run: string, commands: DeskCommand[]): Promise<void> {
    const operations: RecordOperation[] = []
    for (const command of commands) {
      if (command.type === 'keep') {
        const { row } = command
        if ('secretHash' in row) operations.push({ type: 'put', table: 'invitations', key: `${run}/${row.id}`, value: row })
        else operations.push({ type: 'put', table: 'candidates', key: `${run}/${row.peer}`, value: row })
      } else if (command.type === 'forget') operations.push({ type: 'delete', table: 'candidates', key: `${run}/${command.peer}` })
      else if (command.type === 'forgetInvitation') operations.push({ type: 'delete', table: 'invitations', key: `${run}/${command.id}` })
      else if (command.type === 'impossible') throw new DaemonError(command.code, IMPOSSIBLE[command.code], HINTS[command.code])
    }
    // Strangers ask again: only what gives or takes something must survive a power cut.
    const isPending = commands.some(({ type }) => type === 'pending')
    if (operations.length > 0) await this.#c.store.records.batch(operations, { sync: !isPending })
  }

  #desk(run: string): Promise<DeskState> {
    const open = this.#desks.get(run)
    if (open !== undefined) return open
    const reading = this.#read(run).catch((error: unknown) => {
      this.#desks.delete(run)
      throw error
    })
    this.#desks.set(run, reading)
    return reading
  }

  async #read(run: string): Promise<DeskState> {
    // Asked before the disk is: a run that is left meanwhile has no inviters, and what is read is kept for when it is joined again.
    const { inviters } = this.#require(run)
    const { records } = this.#c.store
    const prefix = `${run}/`
    const rows = { invitations: [] as Invitation[], candidates: [] as Candidate[] }
    for await (const [, row] of records.table<Invitation>('invitations').entries({ prefix })) rows.invitations.push(row)
    for await (const [, row] of records.table<Candidate>('candidates').entries({ prefix })) rows.candidates.push(row)
    const desk = openDesk({ run, self: this.#c.self, inviters }, rows)
    this.#open.set(run, desk)
    return desk
  }

  /** Ids and wrong secrets cost nothing, and who takes turns with two of them is refused for another reason each time. */
  #tellRefused(run: string, peer: string, code: AdmissionRefusal): void {
    if (this.#refusals.note({ peer, code }, performance.now()).untold === null) return
    this.#tell(run, peer, code, `${peer} was not admitted: ${ADMISSION_REFUSALS[code]}`)
  }

  #tell(run: string, peer: string, code: string, message: string): void {
    if (this.#told.get(`${run}/${peer}`) === code) return
    this.#told.set(`${run}/${peer}`, code)
    this.#c.events.emit({ type: 'admission', run, peer, code, message })
  }
}

const WORDS = {
  admitted: { code: 'peer_admitted', said: 'admitted' },
  refused: { code: 'not_admitted', said: 'refused' },
  revoked: { code: 'admission_revoked', said: 'sent away' }
} as const

const IMPOSSIBLE = {
  unknown_invitation: 'This node handed out no such invitation',
  too_many_invitations: 'Too many invitations to this run can still be used: revoke some first',
  too_many_admitted: 'This node keeps as many admissions to this run as it can'
} as const

const HINTS = {
  unknown_invitation: {},
  too_many_invitations: {},
  too_many_admitted: { hint: 'another inviter of the run can admit the peer: each keeps a list of its own' }
} as const

function hashOf(secret: Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** A grant that somebody shows; one that is none is no reason to refuse him, he is a stranger then. */
async function opened(bytes: Uint8Array | null): Promise<Grant | null> {
  if (bytes === null) return null
  try {
    return await openGrant(bytes)
  } catch (error) {
    if (!isCodedError(error)) throw error
    return null
  }
}
