// Audits: this node's own look at what others contributed. One contribution at a time, in a process of its own; what is too much is passed over.
import { randomBytes, randomInt } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isAudited, type Standing, verdictOf } from '../../protocols/trust/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import type { Arithmetic } from '../arithmetic/arithmetic.ts'
import { DaemonError, isCodedError, reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'
import type { Manifest } from '../manifest.ts'
import { askProcess } from '../one-shot.ts'
import type { AuditRequest, AuditResult } from './audit-process.ts'
import type { KeptRound } from './ledger.ts'

export interface AuditsComponents {
  run: string
  self: string
  manifest: Manifest
  /** A folder for files that are gone afterwards, also after a kill: each is as large as the model. */
  scratch: string
  tokenizerJson: string | null
  sources: string[]
  blocks: BlockStore
  arithmetic: Arithmetic
  events: EventLog
  standing(peer: string): Standing
}

export interface AuditsOptions {
  /** Of others' contributions, from 0 to 1; those of peers on probation are looked at in any case. */
  fraction: number
  /** Of the process that computes. @default AUDIT_NICENESS */
  niceness?: number
}

interface Audit {
  cid: string
  body: string
  peer: string
  round: number
  /** What it was made from. */
  anchor: string
}

/** Contributions that wait for their audit: a slow machine looks at fewer, and never at what was forgotten meanwhile. */
const MAX_WAITING = 4
/** A tenth of a core beside a trainer that takes all, which has 5: with 14 more than it an audit of seconds took longer than a run. */
const AUDIT_NICENESS = 15
/** Milliseconds that one audit may take. */
const AUDIT_TIMEOUT_MS = 10 * 60_000

export class Audits {
  readonly #c: AuditsComponents
  readonly #fraction: number
  readonly #niceness: number
  readonly #salt = randomBytes(16).toString('hex')
  readonly #waiting: Audit[] = []
  readonly #stopping = new AbortController()
  #working: Promise<void> | null = null

  constructor(components: AuditsComponents, { fraction, niceness = AUDIT_NICENESS }: AuditsOptions) {
    this.#c = components
    this.#fraction = fraction
    this.#niceness = niceness
  }

  /** Takes a sample of a round that was just adopted. @param parentAnchor what its contributions were made from */
  consider(round: KeptRound, parentAnchor: string): void {
    const sampled = round.contributions.filter(({ cid, peer, age }) => {
      // One of the round before was made from another anchor.
      if (peer === this.#c.self || age !== 0) return false
      return isAudited({ cid, standing: this.#c.standing(peer) }, { fraction: this.#fraction, salt: this.#salt })
    })
    // By lot: those on probation are sampled each time, and a few of low names would take all places from everybody else.
    while (sampled.length > 0 && this.#waiting.length < MAX_WAITING) {
      const [{ cid, body, peer }] = sampled.splice(randomInt(sampled.length), 1) as [KeptRound['contributions'][number]]
      this.#waiting.push({ cid, body, peer, round: round.round, anchor: parentAnchor })
    }
    this.#working ??= this.#work().finally(() => {
      this.#working = null
    })
  }

  async stop(): Promise<void> {
    this.#waiting.length = 0
    this.#stopping.abort(new Error('the run is being left'))
    await this.#working
  }

  async #work(): Promise<void> {
    for (let audit = this.#waiting.shift(); audit !== undefined; audit = this.#waiting.shift()) {
      try {
        await this.#audit(audit)
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        const { run, events } = this.#c
        const code = isCodedError(error) ? error.code : 'audit_failed'
        events.emit({ type: 'audit', run, round: audit.round, code, message: `a contribution could not be audited: ${reasonOf(error)}` })
      }
    }
  }

  async #audit({ cid, body, peer, round, anchor }: Audit): Promise<void> {
    const { arithmetic, blocks, events, manifest, run, scratch, sources, tokenizerJson } = this.#c
    if (!(await blocks.has(anchor)) || !(await blocks.has(body))) return
    await mkdir(scratch, { recursive: true })
    const anchorFile = join(scratch, `audit-${run}-anchor.safetensors`)
    const changeFile = join(scratch, `audit-${run}-change.safetensors`)
    try {
      await arithmetic.anchorToSafetensors({ anchor, file: anchorFile })
      await arithmetic.bodyToSafetensors({ body, codec: manifest.strategy.codec, file: changeFile })
      const { before, after, tokens } = await askProcess<AuditRequest, AuditResult>(
        new URL('./audit-process.js', import.meta.url),
        {
          ...{ anchorFile, changeFile, sources, model: manifest.model, niceness: this.#niceness },
          tokenizer: { kind: manifest.tokenizer.kind, json: tokenizerJson }
        },
        { signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(AUDIT_TIMEOUT_MS)]) }
      )
      // Of an anchor that has no loss nobody can say that somebody made it worse.
      if (!Number.isFinite(before)) throw new DaemonError('audit_failed', `the anchor's own loss is ${before}`)
      const verdict = verdictOf({ before, after })
      const words = `the contribution of ${peer} to round ${round} takes the loss from ${before.toFixed(4)} to ${lossText(after)}: ${verdict}`
      const harm = verdict === 'harmful' ? { code: 'audit_harmful' } : {}
      // What is kept as JSON cannot hold NaN or Infinity.
      const data = { subject: cid, before, after: Number.isFinite(after) ? after : String(after), tokens, verdict }
      events.emit({ type: 'audit', run, round, peer, ...harm, message: words, data })
    } finally {
      await Promise.all([rm(anchorFile, { force: true }), rm(changeFile, { force: true })])
    }
  }
}

function lossText(loss: number): string {
  return Number.isFinite(loss) ? loss.toFixed(4) : String(loss)
}
