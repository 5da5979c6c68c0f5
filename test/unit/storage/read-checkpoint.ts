// A whole checkpoint at once, for tests: the daemon reads one tensor at a time.
import { openCheckpoint, type StoredTensor } from '../../../storage/index.ts'

export async function readCheckpoint(directory: string) {
  const { config, files, tensors: infos, read, close } = await openCheckpoint(directory)
  try {
    const tensors: StoredTensor[] = []
    for (const { name } of infos) tensors.push(await read(name))
    return { config, files, tensors }
  } finally {
    await close()
  }
}
