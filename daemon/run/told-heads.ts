// What a node may believe that is not in a run: of the heads that others tell it, the one that the run's own rules choose, and an anchor of the size that the run's have.
// A claim counts for nothing. Each head's chain is read back to the run's id, every record is checked as its members check it, and the choice among them is theirs.
import { decodeBodyRoot } from '../../protocols/bodies/index.ts'
import { type Contribution, createRounds, openContribution, type RunRules, viewOf } from '../../protocols/rounds/index.ts'
import { codeOf, DaemonError, isCodedError, reasonOf } from '../errors.ts'
import { type ChainComponents, type ChainRecord, Chains, Load, MAX_UNDERWAY, tooManyChains } from './chains.ts'
import { type Fetcher, type FetchOptions, pagesOf } from './fetching.ts'
import type { Head } from './ledger.ts'
import { LooseBlocks, type LooseBlocksComponents } from './loose-blocks.ts'

export interface ToldHead {
  peer: string
  head: string
}

export interface ChooseOptions extends FetchOptions {
  /** Told of each peer whose chain could not be had or goes wrong. */
  onRefused: (peer: string, code: string, message: string) => void
  /** Records, with what they list, of all chains that are here. @default MAX_UNDERWAY */
  most?: number
}

export type ToldHeadsComponents = Omit<ChainComponents, 'blocks' | 'loose'> & Pick<LooseBlocksComponents, 'blocks'>

/**
 * The heads of the chain that the rules choose among those told, oldest first; none where that is the genesis. Of all others nothing stays on disk.
 *
 * @throws DaemonError `bad_chain` where no peer's chain leads back to the run by its rules, `history_too_long` where one was too long to see
 */
export async function chooseTold(
  told: readonly ToldHead[],
  rules: RunRules,
  { blocks, ...components }: ToldHeadsComponents,
  options: ChooseOptions
): Promise<Head[]> {
  /** Null until the choice is made: any may be of the chosen chain. */
  let needed: Set<string> | null = null
  const loose = new LooseBlocks({ blocks, needed: () => cid => needed === null || needed.has(cid) })
  let chosen: ChainRecord[] = []
  try {
    chosen = await choose(told, rules, new Chains({ ...components, blocks, loose }), components.fetcher, options)
  } finally {
    needed = new Set(chosen.flatMap(({ cid, record }) => [cid, ...record.contributions]))
    await loose.sweep()
  }
  return chosen.map(({ cid, record: { round, anchor } }) => ({ record: cid, round, anchor }))
}

async function choose(
  told: readonly ToldHead[],
  rules: RunRules,
  chains: Chains,
  fetcher: Fetcher,
  { onRefused, most = MAX_UNDERWAY, ...options }: ChooseOptions
): Promise<ChainRecord[]> {
  /** Most tell of the same: its chain is read and held once. */
  const tellers = new Map<string, string[]>()
  for (const { peer, head } of told) tellers.set(head, [...(tellers.get(head) ?? []), peer])
  /** That a chain is too long to be learned says more than that none could be taken. */
  let tooLong: unknown = null
  const refuse = (head: string, error: unknown): void => {
    options.signal.throwIfAborted()
    if (isCodedError(error) && error.code === 'history_too_long') tooLong = error
    for (const peer of tellers.get(head)!) onRefused(peer, codeOf(error), reasonOf(error))
  }
  /** They stay in memory until the choice: where that is too much one gives way by lot, as among those under way. */
  const fetched = new Load<{ head: string; records: ChainRecord[] }>()
  await Promise.all(
    [...tellers].map(async ([head, peers]) => {
      const from = () => [...new Set([...peers, ...options.from()])]
      try {
        await chains.fetch(
          head,
          () => false,
          { ...options, from, isStrangers: true, tellers: peers.length },
          records => {
            const weight = records.reduce((sum, { record }) => sum + 1 + record.contributions.length, 0)
            fetched.set({ head, records }, weight, peers.length)
            while (fetched.sum > most) refuse(fetched.draw().head, tooManyChains(most))
          }
        )
      } catch (error) {
        refuse(head, error)
      }
    })
  )
  const records = new Map<string, ChainRecord>()
  const contributions = new Map<string, Contribution>()
  /** Heads whose chains are here with all that can be had of what they list. */
  const whole: string[] = []
  for (const chain of fetched) {
    try {
      await addContributions(contributions, chain.records, fetcher, options)
      for (const record of chain.records) records.set(record.cid, record)
      whole.push(chain.head)
    } catch (error) {
      refuse(chain.head, error)
    }
  }
  const ordered = [...records.values()].sort((a, b) => a.record.round - b.record.round)
  const state = createRounds(rules, null, {
    now: 0,
    records: ordered.map(({ cid, record }) => ({ cid, record, ready: true })),
    contributions: [...contributions].map(([cid, contribution]) => ({ cid, contribution, held: false }))
  })
  const { head } = viewOf(state)
  const chosen: ChainRecord[] = []
  for (let at = records.get(head); at !== undefined; at = records.get(at.record.parent)) chosen.unshift(at)
  if (chosen.length === 0 && !whole.includes(rules.run)) {
    if (tooLong !== null) throw tooLong
    throw new DaemonError(
      'bad_chain',
      `None of the heads that ${told.length} peers told of run ${rules.run} stands on records that its rules allow`,
      {
        hint: '`shoal events --type refused` says what was wrong with each'
      }
    )
  }
  return chosen
}

/** Those whose envelopes can be had: a record that lacks one is not taken, nor what stands on it. */
async function addContributions(
  contributions: Map<string, Contribution>,
  records: readonly ChainRecord[],
  fetcher: Fetcher,
  options: FetchOptions
): Promise<void> {
  const listed = new Set(records.flatMap(({ record }) => record.contributions))
  for (const cids of pagesOf([...listed].filter(cid => !contributions.has(cid)))) {
    for (const [cid, bytes] of await fetcher.signedBlocks(cids, options)) {
      const opened = await openContribution(bytes).catch(() => null)
      if (opened !== null) contributions.set(cid, opened.contribution)
    }
  }
}

/**
 * Fetches an anchor that has the stages, tensors and sizes of the run's first: outer state is in that, too. Its chunks are asked for when that is known.
 *
 * @throws DaemonError `bad_anchor`, `block_unavailable`
 */
export async function fetchAnchorLike(genesis: string, anchor: string, fetcher: Fetcher, options: FetchOptions): Promise<void> {
  const refusal = new DaemonError('bad_anchor', `The anchor ${anchor} has other tensors than the run's first`)
  const first = await fetcher.layout(genesis, options)
  // Its root before its indexes: there may be thousands of them.
  const { stages } = decodeBodyRoot(await fetcher.block(anchor, options))
  if (stages.map(({ name }) => name).join('\n') !== first.map(({ name }) => name).join('\n')) throw refusal
  if (JSON.stringify(await fetcher.layout(anchor, options)) !== JSON.stringify(first)) throw refusal
  await fetcher.body(anchor, options)
}
