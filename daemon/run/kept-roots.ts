// The bodies and anchors that a node keeps for its runs, whichever of them forgets something: equal bytes have one name, so runs may share blocks.
import type { Store } from '../../storage/index.ts'
import { openManifest } from '../manifest.ts'
import { type Head, Ledger, type Membership } from './ledger.ts'

/** Own contributions of other runs that are spared: more than can have an open fate. */
const OWN_ROUNDS = 16

/**
 * What all manifests here name, and what the runs, but one, have on disk by their ledgers: also of those that are left, or could not be opened.
 *
 * @param joining runs of which the ledgers do not know yet
 * @param forgetting the run that itself knows which of its rounds it keeps; null where none does
 */
export async function keptRoots(store: Store, joining: Iterable<string>, forgetting: string | null): Promise<string[]> {
  const runs = new Set([...(forgetting === null ? [] : [forgetting]), ...joining])
  for await (const [run] of store.records.table<Membership>('runs').entries()) runs.add(run)
  for await (const [key] of store.records.table<Head>('heads').entries()) runs.add(key.split('/')[0]!)
  const roots = new Set<string>()
  for (const run of runs) for (const root of await rootsOf(store, run, run === forgetting)) roots.add(root)
  return [...roots]
}

async function rootsOf(store: Store, run: string, onlyManifest: boolean): Promise<string[]> {
  const bytes = await store.blocks.get(run)
  // Whatever a person typed as a run's id.
  const opened = bytes === undefined ? null : await openManifest(bytes).catch(() => null)
  if (opened === null) return []
  const { genesis, tokenizer, data, strategy } = opened.manifest
  const files = data.corpus === 'files' ? data.files.map(({ file }) => file) : []
  const named = [genesis.anchor, ...files, ...(tokenizer.json === null ? [] : [tokenizer.json])]
  if (onlyManifest) return named
  const ledger = new Ledger(store, run)
  const rounds = await ledger.rounds(strategy.keepRounds)
  const own = await ledger.own(OWN_ROUNDS)
  return [
    ...named,
    ...rounds.flatMap(({ anchor, contributions }) => [anchor, ...contributions.map(({ body }) => body)]),
    ...own.flatMap(({ body }) => (body === null ? [] : [body])),
    ...(await ledger.fetchedAnchors())
  ]
}
