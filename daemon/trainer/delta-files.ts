// Where a trainer's snapshots lie: the trainer writes them, the daemon reads and deletes them. Nothing on disk says so, so that a home can be moved.
import { join } from 'node:path'

/** The trainer's folder in that of its run. */
export function trainerFolder(runDirectory: string): string {
  return join(runDirectory, 'trainer')
}

export function deltaFile(trainerDirectory: string, sequence: number): string {
  return join(trainerDirectory, `delta-${sequence}.safetensors`)
}

/** Numbers of the snapshots whose files are among these names. */
export function deltaSequences(names: readonly string[]): number[] {
  return names.flatMap(name => {
    const sequence = /^delta-(\d{1,15})\.safetensors$/.exec(name)?.[1]
    return sequence === undefined ? [] : [Number(sequence)]
  })
}
