// The files of a node's own contributions, each as large as the model: where they lie, and which of them nothing needs any more.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { deltaFile, deltaSequences, trainerFolder } from '../trainer/delta-files.ts'
import type { OwnContribution } from './ledger.ts'

export interface OwnFile {
  /** A trainer's snapshot, what the codec left over after it, or what was sent of it, written out for the trainer to take it back. */
  kind: 'delta' | 'residual' | 'sent'
  /** The snapshot's. */
  sequence: number
}

/** @param directory the run's */
export function ownFile(directory: string, { kind, sequence }: OwnFile): string {
  return kind === 'delta' ? deltaFile(trainerFolder(directory), sequence) : join(directory, `${kind}-${sequence}.safetensors`)
}

/** Those that are there. */
export async function ownFiles(directory: string): Promise<OwnFile[]> {
  const names = await readdir(directory)
  // A node that only follows has no trainer's folder.
  const deltas = deltaSequences(await readdir(trainerFolder(directory)).catch(() => []))
  return [
    ...deltas.map(sequence => ({ kind: 'delta' as const, sequence })),
    ...names.flatMap(name => {
      const [, kind, sequence] = /^(residual|sent)-(\d{1,15})\.safetensors$/.exec(name) ?? []
      return kind === undefined ? [] : [{ kind: kind as 'residual' | 'sent', sequence: Number(sequence) }]
    })
  ]
}

/** @param rows the newest contributions, newest first; older ones are settled, or never will be */
export function unneededFiles(files: readonly OwnFile[], rows: readonly OwnContribution[]): OwnFile[] {
  const newest = rows[0]?.sequence ?? 0
  const carried = rows.find(({ cid }) => cid !== null)?.sequence
  // A trainer that has lost its state numbers its snapshots on from this one.
  const lastDelta = Math.max(...files.map(({ kind, sequence }) => (kind === 'delta' ? sequence : 0)))
  const rowOf = new Map(rows.map(row => [row.sequence, row]))
  return files.filter(({ kind, sequence }) => {
    const { fate, cid } = rowOf.get(sequence) ?? {}
    // A snapshot that was just taken has no row yet.
    if (sequence > newest || fate === 'made') return false
    // What was lost before it was encoded is put back from its delta.
    if (kind === 'delta') return sequence !== lastDelta && !(fate === 'lost' && cid === null)
    if (kind === 'residual') return sequence !== carried
    return fate === undefined || fate === 'included' || fate === 'restored' || fate === 'dropped'
  })
}
