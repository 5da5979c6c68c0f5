// Writes a safetensors file whose tensors are made on the way, and says why one could not be made.
import { type TensorSource, writeSafetensorsFile } from '../../storage/index.ts'
import { isCodedError } from '../errors.ts'

/** As writeSafetensorsFile(); an error of a source's read() arrives as it was thrown, not as a failure of the file. */
export async function writeTensors(
  file: string,
  sources: readonly TensorSource[],
  metadata: Record<string, string> | undefined,
  signal: AbortSignal | undefined
): Promise<void> {
  try {
    await writeSafetensorsFile(file, sources, metadata, { signal })
  } catch (error) {
    throw isCodedError(error) && error.code === 'io_error' && isCodedError(causeOf(error)) ? causeOf(error) : error
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}
