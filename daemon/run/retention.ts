// Which blocks a run may forget: bodies and anchors of rounds older than the manifest keeps. Records and contributions themselves are kept for ever.
import { listBodyBlocks } from '../../protocols/bodies/index.ts'
import { ProtocolError } from '../../protocols/errors.ts'
import type { BlockStore } from '../../storage/index.ts'
import type { FetchOptions } from './fetching.ts'
import type { KeptRound, Ledger, OwnContribution } from './ledger.ts'

/** Rounds for which a body that entered no record is kept: this one and the next may still take it. */
const UNUSED_ROUNDS = 2
/** The round of what is kept for none. */
export const ABANDONED = Number.NEGATIVE_INFINITY
/** Rounds beside those that are kept, and own contributions, of which something may still be on disk after a restart: more than are adopted while older ones are forgotten, or can be open. */
const RESUMED_ROUNDS = 16

/** What this needs of the block store. */
export type ForgettingBlocks = Pick<BlockStore, 'get' | 'delete'>

/** What this needs of a run's ledger. */
export type ForgettingLedger = Pick<Ledger, 'rounds' | 'roundsFrom' | 'own' | 'keptFrom' | 'keepFrom'>

/** What is to stay; see `forget`. */
interface Wish {
  kept: readonly KeptRound[]
  own: readonly OwnContribution[]
  wanted: readonly string[]
}

/** A body or an anchor that is here. */
interface Here {
  /** The round it came with. */
  round: number
  /**
   * What was looked for of it so far, true what was not here before it was fetched; null where all that it names is this run's: a record has it, or it was computed here.
   * What nobody has checked is not read to know more: its indexes may be as many and as large as they like.
   */
  named: Map<string, boolean> | null
}

/**
 * Follows what one run has stored, and deletes what no kept round names any more.
 * Anybody may sign that a body is what another run or the manifest lives on, so one that is in no record takes nothing along but what its own fetch brought.
 */
export class Retention {
  readonly #blocks: ForgettingBlocks
  readonly #genesisAnchor: string | null
  readonly #keptBeside: () => Promise<readonly string[]>
  readonly #isNamedBeside: (cid: string) => boolean
  readonly #here = new Map<string, Here>()
  /** How many that nobody has checked name each block: asked for every block that is forgotten, which are tens of thousands a round where there are a thousand members. */
  readonly #names = new Map<string, number>()
  /** Blocks of what was forgotten that others name or named: who names them last need not have brought them. */
  readonly #left = new Set<string>()
  /**
   * What each root names, CIDs in one text of 60 bytes a block: bodies never change, and to read the indexes of all that is kept takes seconds in each round of hundreds of members.
   * Of what is kept or not forgotten yet: some 4 MB for 8 rounds of 100 members with bodies of 80 blocks.
   */
  readonly #lists = new Map<string, string | null>()
  /** Of a run that was taken up: it is told how far this has forgotten. */
  #ledger: ForgettingLedger | null = null
  #forgetting: Promise<void> = Promise.resolve()
  /** While something is being forgotten: what of it is to stay after all. */
  #spared: Set<string> | null = null
  #deleting: Promise<void> = Promise.resolve()
  /** What waits for that to end. */
  #next: Wish | null = null

  /**
   * @param genesisAnchor the first anchor of the run whose rounds are forgotten; null where what is fetched belongs to no round of one
   * @param keptBeside what this node keeps beside the rounds of this run: bodies and anchors of other runs, the files of manifests
   * @param isNamedBeside whether the unchecked of another run name a block
   */
  constructor(
    blocks: ForgettingBlocks,
    genesisAnchor: string | null,
    keptBeside: () => Promise<readonly string[]> = async () => [],
    isNamedBeside: (cid: string) => boolean = () => false
  ) {
    this.#blocks = blocks
    this.#genesisAnchor = genesisAnchor
    this.#keptBeside = keptBeside
    this.#isNamedBeside = isNamedBeside
  }

  /** Resolves when what is being forgotten now is gone, or could not be. */
  get settled(): Promise<void> {
    return this.#forgetting.catch(() => {})
  }

  /** What is here for this run, all of it, and not forgotten yet. */
  get roots(): string[] {
    return [...this.#here].filter(([, { named }]) => named === null).map(([root]) => root)
  }

  /** Whether a body that nobody has checked is known to name a block. */
  isNamed(cid: string): boolean {
    return this.#names.has(cid)
  }

  /** A body that is in a record, or an anchor, comes to be here in this round; again, if an older one named it before. */
  came(root: string, round: number): void {
    const before = this.#here.get(root)
    this.#unname(before)
    this.#here.set(root, { round: Math.max(round, before?.round ?? 0), named: null })
  }

  /** A body that nobody has checked is about to be fetched, and its fetch tells the answer of it: what is forgotten meanwhile leaves alone what that looks for. */
  fetching(root: string, round: number): Required<Pick<FetchOptions, 'onNamed' | 'onAbsent'>> {
    const note = (cids: readonly string[], isBrought: boolean): void => {
      const before = this.#here.get(root)
      const named = before === undefined ? new Map<string, boolean>() : before.named
      for (const cid of cids) {
        if (named?.has(cid) === false) this.#names.set(cid, (this.#names.get(cid) ?? 0) + 1)
        named?.set(cid, isBrought || named.get(cid) === true)
      }
      this.#here.set(root, { round: Math.max(round, before?.round ?? round), named })
    }
    note([], false)
    const onNamed = async (cids: readonly string[]): Promise<void> => {
      note(cids, false)
      for (const cid of cids) this.#spared?.add(cid)
      await this.#deleting.catch(() => {})
    }
    return { onNamed, onAbsent: cids => note(cids, true) }
  }

  #unname(here: Here | undefined): void {
    for (const cid of here?.named?.keys() ?? []) {
      const names = this.#names.get(cid)! - 1
      if (names === 0) this.#names.delete(cid)
      else this.#names.set(cid, names)
    }
  }

  /** What was fetched of a root goes with what is forgotten next, unless a record has it by now. */
  abandoned(root: string): void {
    const here = this.#here.get(root)
    if (here !== undefined && here.named !== null) here.round = ABANDONED
  }

  /**
   * After a restart: what earlier lives of this process stored for the rounds that are kept, for those before that they had not forgotten when they were killed, and what this node offered, which may be
   * in no record. Between the two may lie hundreds that were adopted at once: of those nothing was here but of the last.
   */
  async resume(ledger: ForgettingLedger, keepRounds: number): Promise<void> {
    this.#ledger = ledger
    const count = keepRounds + RESUMED_ROUNDS
    this.#cameAll(await ledger.rounds(count))
    const keptFrom = await ledger.keptFrom()
    if (keptFrom !== undefined) {
      for await (const row of ledger.roundsFrom(keptFrom)) {
        if (row.round >= keptFrom + count) break
        this.#cameAll([row])
      }
    }
    for (const { body, round } of await ledger.own(RESUMED_ROUNDS)) if (body !== null) this.came(body, round)
  }

  #cameAll(rounds: readonly KeptRound[]): void {
    for (const { anchor, contributions, round } of rounds)
      for (const root of [anchor, ...contributions.map(({ body }) => body)]) this.came(root, round)
  }

  /**
   * Forgets what is not in the kept rounds, after the one before it has ended. Of several that wait for that only the newest is done: it forgets what the others would.
   * @param kept the newest rounds, newest first, as many as the manifest says
   * @param own contributions of this node that may still be asked for
   * @param wanted anchors that somebody asked to have here
   */
  forget(kept: readonly KeptRound[], own: readonly OwnContribution[], wanted: readonly string[]): Promise<void> {
    this.#cameAll(kept)
    const isWaiting = this.#next !== null
    this.#next = { kept, own, wanted }
    if (isWaiting) return this.#forgetting
    // One that failed is made good by the next.
    this.#forgetting = this.#forgetting
      .catch(() => {})
      .then(() => this.#forgetNext())
      .finally(() => {
        this.#spared = null
      })
    return this.#forgetting
  }

  async #forgetNext(): Promise<void> {
    const next = this.#next!
    this.#next = null
    await this.#forget(next)
    const [newest, oldest] = [next.kept[0], next.kept.at(-1)]
    if (newest !== undefined) await this.#ledger?.keepFrom(Math.min(oldest!.round, newest.round - UNUSED_ROUNDS + 1))
  }

  async #forget({ kept, own, wanted }: Wish): Promise<void> {
    const head = kept[0]?.round ?? 0
    const keep = new Set([
      ...(this.#genesisAnchor === null ? [] : [this.#genesisAnchor]),
      ...wanted,
      ...kept.flatMap(({ anchor, contributions }) => [anchor, ...contributions.map(({ body }) => body)])
    ])
    for (const { body } of own) if (body !== null) keep.add(body)
    const gone = [...this.#here].filter(([root, { round }]) => !keep.has(root) && round <= head - UNUSED_ROUNDS)
    if (gone.length === 0 && this.#left.size === 0) return
    const spared = new Set<string>()
    this.#spared = spared
    for (const [root, here] of gone) {
      const brought =
        here.named === null ? await this.#blocksOf(root) : [...here.named].filter(([, isBrought]) => isBrought).map(([cid]) => cid)
      // It may have come again while others were read.
      if (this.#here.get(root) !== here) continue
      for (const cid of brought ?? []) {
        // What went before may have left it: it belongs behind those that name it now.
        this.#left.delete(cid)
        this.#left.add(cid)
      }
      this.#here.delete(root)
      this.#unname(here)
    }
    // What is young enough to enter the next record is as much in use as what is in one. Here before the roots: it may be in one when those are read.
    for (const cid of this.#left) if (this.isNamed(cid) || this.#isNamedBeside(cid)) spared.add(cid)
    for (const root of [...this.roots, ...(await this.#keptBeside())]) keep.add(root)
    // Equal tensors have equal chunks, so a block of a forgotten anchor may be one of a kept one.
    for (const root of keep) for (const cid of (await this.#blocksOf(root)) ?? [root]) if (this.#left.has(cid)) spared.add(cid)
    for (const root of this.#lists.keys()) if (!keep.has(root)) this.#lists.delete(root)
    // Chunks before their index, and the root last: a later life finds the blocks of what a kill left by nothing else.
    for (const cid of [...this.#left].reverse()) {
      if (spared.has(cid) || this.#isNamedBeside(cid)) continue
      this.#deleting = this.#blocks.delete(cid)
      await this.#deleting
      this.#left.delete(cid)
    }
  }

  async #blocksOf(root: string): Promise<string[] | null> {
    const list = this.#lists.get(root) ?? (this.#lists.has(root) ? null : await this.#list(root))
    return list?.split(' ') ?? null
  }

  /** Null for what is here and is no body, whatever it is: whoever signs a contribution may name anything as its body. */
  async #list(root: string): Promise<string | null> {
    let list: string | null = null
    let isWhole = true
    try {
      const { blocks, missing } = await listBodyBlocks(root, cid => this.#blocks.get(cid))
      list = blocks.join(' ')
      isWhole = missing.length === 0
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
    if (isWhole) this.#lists.set(root, list)
    return list
  }
}
