// The anchors that are here: by the ledgers, also of runs that were left or could not be opened, and those that were fetched on purpose.
import type { CheckpointRow } from '../../protocols/control/messages.ts'
import type { Store } from '../../storage/index.ts'
import { DaemonError } from '../errors.ts'
import { type Manifest, openManifest } from '../manifest.ts'
import type { Fetcher } from './fetching.ts'
import { type Head, Ledger } from './ledger.ts'

type NamedHead = Head & { run: string }

export class HeldCheckpoints {
  readonly #store: Store
  readonly #fetcher: Pick<Fetcher, 'isWhole' | 'bodyBytes'>

  constructor(store: Store, fetcher: Pick<Fetcher, 'isWhole' | 'bodyBytes'>) {
    this.#store = store
    this.#fetcher = fetcher
  }

  async rows(): Promise<CheckpointRow[]> {
    const rows: CheckpointRow[] = []
    for (const head of await this.#heads()) if (await this.#isWhole(head.anchor)) rows.push(await this.row(head))
    return rows
  }

  async row({ run, record, round, anchor }: NamedHead): Promise<CheckpointRow> {
    return { run, record, round, anchor, bytes: await this.#fetcher.bodyBytes(anchor) }
  }

  /**
   * That of a round, or the newest of a run. The first anchor, in which nothing is trained, only where that is asked for, or where no round of the run is known here.
   *
   * @throws DaemonError `unknown_round` where it is not here
   */
  async chosen(run: string, manifest: Manifest, round: number | undefined): Promise<Head> {
    const ofRun = (await this.#heads()).filter(head => head.run === run)
    const genesis = { record: run, round: 0, anchor: manifest.genesis.anchor }
    const heads: Head[] = ofRun.length === 0 || round === 0 ? [...ofRun, genesis] : ofRun
    for (const head of heads.sort((a, b) => b.round - a.round))
      if ((round === undefined || head.round === round) && (await this.#isWhole(head.anchor))) return head
    const which = round === undefined ? `any round of run ${manifest.name}` : `round ${round}`
    throw new DaemonError('unknown_round', `This node does not hold the checkpoint of ${which}`, {
      hint: `shoal checkpoint fetch ${run}${round === undefined ? '' : ` --round ${round}`}`
    })
  }

  /** Those that may be here, each once. */
  async #heads(): Promise<NamedHead[]> {
    const heads: NamedHead[] = []
    for await (const [key, head] of this.#store.records.table<Head>('heads').entries()) {
      const [run, fetched] = key.split('/') as [string, string?]
      for (const { record, round, anchor } of fetched === undefined ? await this.#adopted(run) : [head])
        if (!heads.some(other => other.run === run && other.anchor === anchor)) heads.push({ run, record, round, anchor })
    }
    return heads
  }

  /** The rounds whose anchors a run keeps, newest first; of a run whose manifest is gone none is of any use. */
  async #adopted(run: string): Promise<Head[]> {
    const bytes = await this.#store.blocks.get(run)
    const opened = bytes === undefined ? null : await openManifest(bytes).catch(() => null)
    return opened === null ? [] : new Ledger(this.#store, run).rounds(opened.manifest.strategy.keepRounds)
  }

  /** Who came to a run late has its earlier rounds in the ledger, and no anchor of them; what cannot be read is of no more use. */
  async #isWhole(anchor: string): Promise<boolean> {
    return this.#fetcher.isWhole(anchor).catch(() => false)
  }
}
