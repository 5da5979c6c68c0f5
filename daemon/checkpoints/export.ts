// Has a process of its own write an anchor as a Hugging Face folder, and leaves nothing behind where that is cut short.
import { basename, dirname } from 'node:path'
import { removeLeftovers } from '../../storage/index.ts'
import { askProcess } from '../one-shot.ts'
import type { ExportRequest } from './export-process.ts'

/** @returns the names of the folder's files. @throws what the process does, or the signal's reason. */
export async function exportFolder(request: ExportRequest, options: { signal?: AbortSignal } = {}): Promise<string[]> {
  try {
    const { files } = await askProcess<ExportRequest, { files: string[] }>(
      new URL('./export-process.js', import.meta.url),
      request,
      options
    )
    return files
  } catch (error) {
    // A process that was killed, by us or for memory, could not remove what it had written so far.
    await removeLeftovers(dirname(request.directory), { of: basename(request.directory) })
    throw error
  }
}
