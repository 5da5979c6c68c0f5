// What a manifest names beside itself, fetched by whoever joins: its first anchor, its tokenizer, its corpus files. Whoever signs a manifest may name anything as those.
import { ProtocolError } from '../../protocols/errors.ts'
import { MAX_CORPUS_FILE_BYTES, MAX_TOKENIZER_JSON_BYTES } from '../../training/data/constants.ts'
import { parameterCount } from '../../training/models/sizes.ts'
import { createOuterStrategy } from '../../training/outer/index.ts'
import { DaemonError, reasonOf } from '../errors.ts'
import type { Manifest } from '../manifest.ts'
import type { Fetcher, FetchOptions } from './fetching.ts'
import { ABANDONED, type Retention } from './retention.ts'

const BYTES_PER_VALUE = 4
/** A tokenizer is bounded in UTF-16 units, each of at most three bytes. */
const BYTES_PER_UNIT = 3

export interface NamedBody {
  what: string
  root: string
  bytesMax: number
}

/** The anchor first, each with what it may weigh. */
export function namedBodies({ name, genesis, model, strategy, tokenizer, data }: Manifest): NamedBody[] {
  const kinds = 1 + createOuterStrategy(strategy).stateNames.length
  const anchor = {
    what: `the first anchor of run ${name}`,
    root: genesis.anchor,
    bytesMax: kinds * BYTES_PER_VALUE * parameterCount(model)
  }
  const files = data.corpus === 'files' ? data.files.map(({ file }) => file) : []
  return [
    anchor,
    ...(tokenizer.json === null
      ? []
      : [{ what: `the tokenizer of run ${name}`, root: tokenizer.json, bytesMax: BYTES_PER_UNIT * MAX_TOKENIZER_JSON_BYTES }]),
    ...files.map(root => ({ what: `a corpus file of run ${name}`, root, bytesMax: MAX_CORPUS_FILE_BYTES }))
  ]
}

/**
 * Makes them be here.
 *
 * @param brought told of all that is fetched, so that it can be forgotten
 * @throws DaemonError `run_too_large` where one weighs more than it may, before its tensors are asked for; `block_unavailable`
 */
export async function fetchNamedBodies(
  bodies: readonly NamedBody[],
  fetcher: Pick<Fetcher, 'body'>,
  brought: Pick<Retention, 'fetching'>,
  options: FetchOptions
): Promise<void> {
  for (const body of bodies) {
    try {
      await fetcher.body(body.root, { ...options, ...brought.fetching(body.root, ABANDONED), totalBytesMax: body.bytesMax })
    } catch (cause) {
      throw cause instanceof ProtocolError && cause.code === 'message_too_large' ? tooLarge(body, cause) : cause
    }
  }
}

export function tooLarge({ what }: NamedBody, cause: unknown): DaemonError {
  return new DaemonError('run_too_large', `Cannot take ${what}: ${reasonOf(cause)}`, {
    hint: 'What its manifest says of the run is not what it names: ask its author',
    cause
  })
}
