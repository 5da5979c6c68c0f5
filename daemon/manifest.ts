// From a run's description to its manifest: checked, resolved, signed by its author, one block whose CID is the run's id.
import { encode } from '@ipld/dag-cbor'
import * as v from 'valibot'
import { decodeCbor } from '../protocols/decode-cbor.ts'
import { openBlock, SIGNED_BLOCKS, type SignedBlock, signBlock } from '../protocols/signed-block.ts'
import { createCodec } from '../training/compression/index.ts'
import { TOKENS_MAX } from '../training/outer/index.ts'
import { DaemonError, type Issue, isCodedError, reasonOf } from './errors.ts'
import { type Manifest, type ModelSpec, manifestSchema, type RunSpec, type RunSpecInput, specSchema } from './manifest-schema.ts'
import { withSizes } from './model-depth.ts'
import { issueSentence, wrongValues } from './wrong-values.ts'
import { readYaml } from './yaml-text.ts'

export type { Manifest, RunSpec, RunSpecInput } from './manifest-schema.ts'

/** Bytes of a description's text; real ones are under 4 KiB. */
export const MAX_SPEC_BYTES = 256 * 1024
/** What is signed is bound to this use. */
const MANIFEST_DOMAIN = 'shoal/manifest/1'
/** Bytes of an encoded manifest: what a signed block of this domain may hold, less signature and framing. */
export const MAX_MANIFEST_BYTES = SIGNED_BLOCKS[MANIFEST_DOMAIN].maxBytes - 256

/** The run that `shoal mesh run` and `run: demo` use when no description is given. */
export const DEMO_SPEC: RunSpecInput = {
  version: 1,
  name: 'demo',
  model: { family: 'gpt2', layers: 2, width: 96, heads: 4, context: 64, biases: false, tiedEmbeddings: true },
  tokenizer: { kind: 'bytes' },
  data: { corpus: 'private' },
  strategy: { outer: { name: 'averaging' }, codec: { name: 'int8' }, innerSteps: 50, deadlineMs: 20_000, graceMs: 3000, quorum: 2 },
  optimizer: { name: 'adamw', learningRate: 5e-3, schedule: 'cosine', warmupSteps: 20, totalSteps: 1000, finalFactor: 0.1, batch: 16 },
  seed: 1
}

/**
 * Checks a description: YAML or JSON text (errors then name the line), or the parsed value.
 * Throws `manifest_syntax`, `manifest_too_large`, or, with every wrong place in `details.issues`, the code of the first:
 * `manifest_unknown_key`, `manifest_missing_key`, `manifest_value`, `manifest_version`.
 */
export function parseRunSpec(input: unknown, options: { file?: string } = {}): RunSpec {
  const what = options.file ?? 'the run'
  const read = typeof input === 'string' ? readSpecText(input, what) : { value: input, lineOf: () => undefined }
  const sized = withSizes(read.value)
  const result = v.safeParse(specSchema, sized.value)
  const located = (found: Issue[]) => found.map(issue => ({ ...issue, ...lineAt(read.lineOf(issue.path.split('.'))) }))
  const issues = [
    ...located(sized.issues),
    ...(result.success ? located(contradictions(result.output)) : wrongValues(specSchema, sized.value, result.issues, read.lineOf))
  ]
  if (issues.length > 0) throw refusal(issues, what)
  return result.output as RunSpec
}

/** What is allowed but probably not meant, one sentence each. */
export function specWarnings(spec: RunSpec): string[] {
  const { strategy, optimizer } = spec
  const warnings: string[] = []
  if (strategy.quorum === 1) warnings.push('strategy.quorum is 1: a part of the mesh that is cut off goes on alone, and the run can fork')
  if (spec.genesis.from !== undefined && spec.model !== undefined)
    warnings.push('genesis.from brings its own model: model must agree with it')
  if (optimizer.schedule === 'constant' && optimizer.totalSteps !== undefined)
    warnings.push('optimizer.totalSteps has no effect with a constant schedule')
  return warnings
}

/** What only the author's node can find out: see {@link resolveManifest}. */
export interface Resolution {
  /** The author's peer id. */
  author: string
  /** From the tokenizer, once built; `json` is the CID of its file index, null for kinds that need none. */
  tokenizer: { kind: Manifest['tokenizer']['kind']; vocabulary: number; json: string | null }
  /** The genesis anchor's root. */
  anchor: string
  /** The model of `genesis.from`; may be left out where the description has a model. */
  model?: ModelSpec
  /** The corpus files by the CIDs of their file indexes, for `corpus: files`. */
  files?: { name: string; file: string }[]
}

/**
 * Inner steps past a contribution that a description allows when it says nothing: none. Measured with four unlike shards, rounds of 50 steps: a leash of 12 cost
 * 0.04 nats a byte, of 100 from 0.1 to 0.3, as much as 15 % and more of all steps; it pays only where the exchange takes longer than that.
 */
const MAX_STEPS_AHEAD = 0

/** Fills a description with what the author's node resolved. Pure; throws `manifest_value` or `manifest_missing_key`. */
export function resolveManifest(spec: RunSpec, resolution: Resolution): Manifest {
  const { author, tokenizer, anchor } = resolution
  const { strategy, optimizer } = spec
  const model = resolution.model ?? spec.model
  if (model === undefined) throw new DaemonError('manifest_missing_key', `model is missing in ${spec.name}, and genesis.from brings none`)
  const maxStepsAhead = strategy.maxStepsAhead ?? MAX_STEPS_AHEAD
  const tokensPerStep = optimizer.batch * optimizer.accumulation * model.context
  return checked({
    version: 1,
    name: spec.name,
    author,
    model: { ...model, vocabulary: tokenizer.vocabulary },
    tokenizer,
    data: spec.data.corpus === 'files' ? { corpus: 'files', files: resolution.files ?? [] } : spec.data,
    strategy: {
      ...strategy,
      maxStepsAhead,
      // The most an honest node can have trained since its last contribution, so that a claim of more weighs no more.
      maxTokensPerRound: strategy.maxTokensPerRound ?? Math.min(TOKENS_MAX, (strategy.innerSteps + maxStepsAhead) * tokensPerStep)
    },
    // A constant schedule never looks at it.
    optimizer: { ...optimizer, totalSteps: optimizer.totalSteps ?? 1 },
    seed: spec.seed,
    genesis: { anchor, peers: [author, ...spec.genesis.peers.filter(peer => peer !== author)] },
    admission: admissionOf(spec, author)
  })
}

/** The author is an inviter in any case. */
function admissionOf({ admission }: RunSpec, author: string): Manifest['admission'] {
  if (admission === 'open' || Array.isArray(admission)) return admission
  const { inviters, grantRounds } = admission.invitation
  return { invitation: { inviters: [author, ...inviters.filter(peer => peer !== author)], grantRounds } }
}

/** The payload that is signed: dag-cbor with keys in canonical order. Throws `manifest_too_large`. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const bytes = encode(manifest)
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new DaemonError(
      'manifest_too_large',
      `the manifest of ${manifest.name} takes ${bytes.byteLength} bytes, at most ${MAX_MANIFEST_BYTES} fit`,
      {
        hint: 'name fewer files, or fewer peers in admission'
      }
    )
  }
  return bytes
}

/** Reads a payload that may come from anybody. Throws `manifest_too_large`, `manifest_damaged`, `manifest_version` or what {@link parseRunSpec} throws. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new DaemonError(
      'manifest_too_large',
      `a manifest of ${bytes.byteLength} bytes was refused, at most ${MAX_MANIFEST_BYTES} are read`
    )
  }
  let value: unknown
  try {
    value = decodeCbor('a manifest', bytes)
  } catch (cause) {
    throw new DaemonError('manifest_damaged', 'a manifest could not be decoded', { cause })
  }
  return checked(value)
}

/** An identity as signing takes it; the daemon's `loadIdentity` answers one. */
export type SigningKey = Parameters<typeof signBlock>[2]

/** The signed block whose CID is the run's id. The key must be the author's. */
export function signManifest(manifest: Manifest, key: SigningKey): Promise<SignedBlock> {
  return signBlock(MANIFEST_DOMAIN, encodeManifest(manifest), key)
}

/** Opens a manifest's block from anybody: bounds, signature, values. Throws `manifest_signature` or what {@link decodeManifest} throws. */
export async function openManifest(bytes: Uint8Array): Promise<{ run: string; manifest: Manifest }> {
  try {
    const { cid, payload } = await openBlock(MANIFEST_DOMAIN, bytes)
    return { run: cid, manifest: decodeManifest(payload) }
  } catch (cause) {
    if (cause instanceof DaemonError || !isCodedError(cause)) throw cause
    const code =
      cause.code === 'bad_signature' ? 'manifest_signature' : cause.code === 'message_too_large' ? 'manifest_too_large' : 'manifest_damaged'
    throw new DaemonError(code, cause.message, { cause })
  }
}

function checked(value: unknown): Manifest {
  const result = v.safeParse(manifestSchema, value)
  if (!result.success) throw refusal(wrongValues(manifestSchema, value, result.issues), 'the manifest')
  const { model, strategy } = result.output
  const issues = [...modelIssues(model), ...codecIssues(strategy.codec)]
  if (issues.length > 0) throw refusal(issues, 'the manifest')
  return result.output
}

function readSpecText(text: string, what: string) {
  if (Buffer.byteLength(text) > MAX_SPEC_BYTES) {
    throw new DaemonError('manifest_too_large', `${what} has ${Buffer.byteLength(text)} bytes, at most ${MAX_SPEC_BYTES} are read`)
  }
  const read = readYaml(text)
  if (!('message' in read)) return read
  const at = read.line === undefined ? '' : `:${read.line}`
  throw new DaemonError('manifest_syntax', `${what}${at} is not YAML or JSON: ${read.message}`, { details: { line: read.line } })
}

/** What each setting allows alone but two together do not. */
function contradictions(spec: RunSpec): Issue[] {
  const { model, optimizer, strategy, admission, genesis } = spec
  const issues: Issue[] = []
  const refuse = (path: string, value: unknown, allowed: string) =>
    issues.push({ code: value === undefined ? 'manifest_missing_key' : 'manifest_value', path, value, allowed })
  if (model !== undefined) issues.push(...modelIssues(model))
  issues.push(...codecIssues(strategy.codec))
  if (genesis.from === undefined) {
    if (model === undefined)
      refuse('model', undefined, 'a map with family and depth, or family, layers, width, heads and context (or name genesis.from)')
    if (spec.tokenizer === undefined) refuse('tokenizer', undefined, 'a map with kind (or name genesis.from)')
  }
  if (optimizer.schedule === 'cosine') {
    if (optimizer.totalSteps === undefined) refuse('optimizer.totalSteps', undefined, 'an integer, since schedule is cosine')
    else if (optimizer.warmupSteps >= optimizer.totalSteps)
      refuse('optimizer.warmupSteps', optimizer.warmupSteps, `below optimizer.totalSteps, which is ${optimizer.totalSteps}`)
  }
  if (Array.isArray(admission) && admission.length < strategy.quorum)
    refuse('strategy.quorum', strategy.quorum, `at most the number of peers in admission, which is ${admission.length}`)
  return issues
}

/** The codec itself has the last word on its settings: one that cannot be made would fail at the first contribution. */
function codecIssues(codec: Manifest['strategy']['codec']): Issue[] {
  try {
    createCodec(codec)
    return []
  } catch (error) {
    return [{ code: 'manifest_value', path: 'strategy.codec', value: codec, allowed: `a codec that can be made (${reasonOf(error)})` }]
  }
}

function modelIssues(model: ModelSpec): Issue[] {
  const { width, heads } = model
  const issue = (path: string, value: number, allowed: string): Issue => ({ code: 'manifest_value', path, value, allowed })
  if (width % heads !== 0) return [issue('model.heads', heads, `a divisor of model.width, which is ${width}`)]
  if (model.family !== 'llama') return []
  const { keyValueHeads } = model
  if (heads % keyValueHeads !== 0) return [issue('model.keyValueHeads', keyValueHeads, `a divisor of model.heads, which is ${heads}`)]
  const even = (width / heads) % 2 === 0
  return even
    ? []
    : [issue('model.heads', heads, `such that model.width / model.heads is even (${width} / ${heads} is not): positions turn pairs`)]
}

function lineAt(line: number | undefined): { line?: number } {
  return line === undefined ? {} : { line }
}

function refusal(issues: Issue[], what: string): DaemonError {
  const wrongVersion = issues.find(issue => issue.path === 'version' && issue.code === 'manifest_value')
  const all = wrongVersion === undefined ? issues : [{ ...wrongVersion, code: 'manifest_version' as const }]
  const sentences = all.map(issue => issueSentence(issue, what))
  return new DaemonError(all[0]!.code, sentences.join('\n'), { details: { issues: all } })
}
