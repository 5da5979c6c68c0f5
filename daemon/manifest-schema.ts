// Every setting of a run: its type, default, range, and the words an error uses for them. A description is what a person writes, a manifest what it becomes.
import * as v from 'valibot'
import { GRANT_ROUNDS, MAX_INVITERS } from '../protocols/admission/index.ts'
import { ITERATIONS_MAX, TOKENS_MAX } from '../training/outer/index.ts'
import { parseDuration } from './quantities.ts'

/** Peer ids that admission or genesis may list: enough for any mesh that this form serves, and it keeps the manifest one block. */
export const MAX_LISTED_PEERS = 4096

// ---- building bricks: each schema carries the text of what is allowed, so that every error can say it

const integer = (min: number, max: number, unit = '') => {
  const allowed = `an integer from ${min} to ${max}${unit && ` ${unit}`}`
  return v.pipe(v.number(allowed), v.safeInteger(allowed), v.minValue(min, allowed), v.maxValue(max, allowed))
}
const real = (min: number, max: number, allowed = `a number from ${min} to ${max}`) =>
  v.pipe(v.number(allowed), v.finite(allowed), v.minValue(min, allowed), v.maxValue(max, allowed))
const positive = (max: number) => {
  const allowed = `a number above 0, at most ${max}`
  return v.pipe(real(Number.MIN_VALUE, max, allowed))
}
const oneOf = <const T extends string>(...names: T[]) => v.picklist(names, `one of ${names.join(', ')}`)
const flag = () => v.boolean('true or false')
const milliseconds = (min: number, max: number) => {
  const allowed = `milliseconds from ${min} to ${max}, or a duration such as 20s`
  return v.pipe(
    v.union([v.number(), v.string()], allowed),
    v.transform(input => (typeof input === 'number' ? input : (parseDuration(input) ?? Number.NaN))),
    v.safeInteger(allowed),
    v.minValue(min, allowed),
    v.maxValue(max, allowed)
  )
}
const PEER_TEXT = 'an Ed25519 peer id such as 12D3KooW...'
const peerId = v.pipe(v.string(PEER_TEXT), v.regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/, PEER_TEXT))
const CID_TEXT = 'a CID version 1 in base32'
const cid = v.pipe(v.string(CID_TEXT), v.regex(/^b[a-z2-7]{58}$/, CID_TEXT))
const peerList = (min: number, max = MAX_LISTED_PEERS) => {
  const allowed = `a list of ${min} to ${max} different peer ids`
  return v.pipe(
    v.array(peerId, allowed),
    v.minLength(min, allowed),
    v.maxLength(max, allowed),
    v.check(peers => new Set(peers).size === peers.length, allowed)
  )
}
const PATH_TEXT = 'a path of 1 to 4096 characters'
const path = v.pipe(v.string(PATH_TEXT), v.minLength(1, PATH_TEXT), v.maxLength(4096, PATH_TEXT))
const NAME_TEXT = 'a name of 1 to 64 letters, digits, dots, dashes or underscores that starts with a letter or digit'
const runName = v.pipe(v.string(NAME_TEXT), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, NAME_TEXT))
const version = v.pipe(
  v.number('1, the only version this shoal knows'),
  v.check(value => value === 1, '1, the only version this shoal knows')
)

// ---- parts that a description and a manifest share

const modelSize = {
  layers: integer(1, 256),
  width: integer(1, 65_536),
  heads: integer(1, 1024),
  context: integer(1, 1_048_576, 'tokens')
}
const gpt2Entries = {
  family: v.literal('gpt2'),
  ...modelSize,
  biases: v.optional(flag(), true),
  tiedEmbeddings: v.optional(flag(), true),
  layerNormEpsilon: v.optional(positive(1), 1e-5)
}
const llamaEntries = {
  family: v.literal('llama'),
  ...modelSize,
  /** As many as heads: none are shared. */
  keyValueHeads: integer(1, 1024),
  /** Width of the gated feed-forward layer. */
  hidden: integer(1, 1_048_576),
  tiedEmbeddings: v.optional(flag(), false),
  rmsNormEpsilon: v.optional(positive(1), 1e-6),
  ropeTheta: v.optional(real(1, 1e12), 10_000)
}
const vocabulary = integer(1, 10_000_000, 'tokens')
const FAMILIES = 'one of gpt2, llama'
const modelSpec = v.variant('family', [v.strictObject(gpt2Entries), v.strictObject(llamaEntries)], FAMILIES)

const outerSchema = v.variant(
  'name',
  [
    v.strictObject({ name: v.literal('averaging') }),
    v.strictObject({
      name: v.literal('nesterov'),
      // DiLoCo (arXiv 2311.08105) uses 0.7 and 0.9.
      learningRate: v.optional(positive(10), 0.7),
      momentum: v.optional(real(0, 0.9999), 0.9)
    })
  ],
  'one of averaging, nesterov'
)

const TRIM_TEXT = 'a part of the authors below 0.5, or a whole number of them up to 512'
const TAU_TEXT = 'a norm above 0, or a map with times: so many times the median distance'

/** Left out: the mean. Every other rule counts authors and not their tokens (training/outer/aggregations/voices.ts). */
const aggregationSchema = v.variant(
  'name',
  [
    v.strictObject({ name: v.literal('mean') }),
    v.strictObject({
      name: v.literal('trimmedMean'),
      trim: v.optional(
        v.pipe(
          real(0, 512, TRIM_TEXT),
          v.check(trim => trim < 0.5 || Number.isInteger(trim), TRIM_TEXT)
        ),
        0.2
      )
    }),
    v.strictObject({ name: v.literal('median') }),
    v.strictObject({
      name: v.literal('centeredClip'),
      tau: v.optional(v.union([positive(1e9), v.strictObject({ times: positive(1000) })], TAU_TEXT), { times: 0.5 }),
      iterations: v.optional(integer(1, ITERATIONS_MAX), 3)
    })
  ],
  'one of mean, trimmedMean, median, centeredClip'
)

const blockSize = () => {
  const allowed = 'a power of two from 16 to 65536'
  return v.pipe(
    integer(16, 65_536),
    v.check(size => (size & (size - 1)) === 0, allowed)
  )
}

// A setting left out is the codec's own, which its name on the wire stands for.
const codecSchema = v.variant(
  'name',
  [
    v.strictObject({ name: v.literal('f32') }),
    v.strictObject({ name: v.literal('f16') }),
    v.strictObject({ name: v.literal('int8'), blockSize: v.optional(blockSize()) }),
    v.strictObject({
      name: v.literal('topk'),
      density: v.optional(positive(1)),
      value: v.optional(oneOf('f32', 'f16', 'int8')),
      blockSize: v.optional(blockSize())
    })
  ],
  'one of f32, f16, int8, topk'
)

/** Claims are cut to it before they are weighed, so it must be a weight itself: a larger one would make every node fail at the round's sum. */
const maxTokensPerRound = integer(1, TOKENS_MAX, 'tokens')

/**
 * Times the median author's norm that a contribution may count with. Honest ones of one round differ by less than 2 where all take their steps, and by twice that
 * where one carries a lost round's change along; a liar may otherwise come with sixteen times the anchor's norm.
 */
const NORM_FACTOR = 4
const screeningSchema = v.nullable(v.strictObject({ normFactor: v.optional(real(1, 1000), NORM_FACTOR) }, 'a map with normFactor, or null'))

const strategyEntries = {
  outer: v.optional(outerSchema, { name: 'averaging' }),
  aggregation: v.optional(aggregationSchema),
  codec: v.optional(codecSchema, { name: 'int8' }),
  innerSteps: v.optional(integer(1, 1_000_000), 50),
  deadlineMs: v.optional(milliseconds(100, 86_400_000), 20_000),
  graceMs: v.optional(milliseconds(10, 3_600_000), 3000),
  fetchTimeoutMs: v.optional(milliseconds(100, 86_400_000), 10_000),
  quorum: v.optional(integer(1, 1024, 'contributors'), 2),
  keepRounds: v.optional(integer(2, 1000, 'rounds'), 8)
}

const optimizerEntries = {
  name: v.optional(oneOf('adamw'), 'adamw'),
  learningRate: positive(10),
  beta1: v.optional(real(0, 0.999_999), 0.9),
  beta2: v.optional(real(0, 0.999_999), 0.95),
  epsilon: v.optional(positive(1), 1e-8),
  weightDecay: v.optional(real(0, 10), 0.1),
  /** null: gradients are not clipped. */
  clipNorm: v.optional(v.nullable(positive(1e6)), 1),
  schedule: v.optional(oneOf('constant', 'cosine'), 'constant'),
  warmupSteps: v.optional(integer(0, 1_000_000_000), 0),
  finalFactor: v.optional(real(0, 1), 0.1),
  batch: v.optional(integer(1, 65_536, 'sequences'), 16),
  accumulation: v.optional(integer(1, 65_536, 'microbatches'), 1)
}

/** At least 8 rounds, so that a renewal has a few rounds to find an inviter. */
const grantRounds = () => integer(8, 1_000_000, 'rounds')
const ADMISSION_TEXT = `open, or a list of 1 to ${MAX_LISTED_PEERS} different peer ids, or invitation, or { invitation: { inviters, grantRounds } }`
const admissionSpec = v.union(
  [
    v.literal('open'),
    peerList(1),
    // By the author's invitation alone.
    v.pipe(
      v.literal('invitation'),
      v.transform(() => ({ invitation: { inviters: [] as string[], grantRounds: GRANT_ROUNDS } }))
    ),
    v.strictObject({
      invitation: v.strictObject({
        /** Besides the author. */
        inviters: v.optional(peerList(0, MAX_INVITERS - 1), []),
        grantRounds: v.optional(grantRounds(), GRANT_ROUNDS)
      })
    })
  ],
  ADMISSION_TEXT
)
const admissionSchema = v.union(
  [
    v.literal('open'),
    peerList(1),
    v.strictObject({ invitation: v.strictObject({ inviters: peerList(1, MAX_INVITERS), grantRounds: grantRounds() }) })
  ],
  ADMISSION_TEXT
)

// ---- the description

const tokenizerSpec = v.variant(
  'kind',
  [
    v.strictObject({ kind: v.literal('bytes') }),
    v.strictObject({ kind: v.literal('bpe'), vocabulary: integer(257, 1_000_000, 'tokens') }),
    v.strictObject({ kind: v.literal('gpt2') }),
    v.strictObject({ kind: v.literal('json'), file: path })
  ],
  'one of bytes, bpe, gpt2, json'
)

const FILES_TEXT = 'a list of 1 to 1000 paths'
const dataSpec = v.variant(
  'corpus',
  [
    v.strictObject({ corpus: v.literal('sotu') }),
    v.strictObject({ corpus: v.literal('private') }),
    v.strictObject({
      corpus: v.literal('files'),
      files: v.pipe(v.array(path, FILES_TEXT), v.minLength(1, FILES_TEXT), v.maxLength(1000, FILES_TEXT))
    })
  ],
  'one of sotu, private, files'
)

export const specSchema = v.strictObject(
  {
    version: v.optional(version, 1),
    name: runName,
    /** Absent only where `genesis.from` names a checkpoint, which brings its own. */
    model: v.optional(modelSpec),
    tokenizer: v.optional(tokenizerSpec),
    data: v.optional(dataSpec, { corpus: 'private' }),
    strategy: v.optional(
      v.strictObject(
        {
          ...strategyEntries,
          maxStepsAhead: v.optional(integer(0, 1_000_000)),
          maxTokensPerRound: v.optional(maxTokensPerRound),
          screening: v.optional(screeningSchema, { normFactor: NORM_FACTOR })
        },
        'a map of settings'
      ),
      {}
    ),
    /** `totalSteps` is where cosine ends; constant needs none. */
    optimizer: v.strictObject({ ...optimizerEntries, totalSteps: v.optional(integer(1, 1_000_000_000)) }, 'a map of settings'),
    seed: v.optional(integer(0, 2 ** 32 - 1), 1),
    genesis: v.optional(v.strictObject({ from: v.optional(path), peers: v.optional(peerList(0), []) }, 'a map with from or peers'), {}),
    admission: v.optional(admissionSpec, 'open')
  },
  'a map of settings'
)

/** A model's settings but for the size of its vocabulary, which its tokenizer says. */
export type ModelSpec = v.InferOutput<typeof modelSpec>
/** A validated description with every default filled in; paths are still as the person wrote them. */
export type RunSpec = v.InferOutput<typeof specSchema>
type ModelInput = v.InferInput<typeof modelSpec>
type ByDepth<M> = M extends ModelInput
  ? Omit<M, 'layers' | 'width' | 'heads' | 'hidden' | 'context' | 'keyValueHeads'> & {
      depth: number
      context?: number
      keyValueHeads?: number
    }
  : never
/** A description as a person may write it: the model by its sizes or by its depth (model-depth.ts). */
export type RunSpecInput = Omit<v.InferInput<typeof specSchema>, 'model'> & { model?: ModelInput | ByDepth<ModelInput> | undefined }

// ---- the manifest

export const manifestSchema = v.strictObject(
  {
    version,
    name: runName,
    author: peerId,
    model: v.variant('family', [v.strictObject({ ...gpt2Entries, vocabulary }), v.strictObject({ ...llamaEntries, vocabulary })], FAMILIES),
    /** `json` is the CID of a file index (a tokenizer.json) for kinds that need one, null for `bytes` and `gpt2`. */
    tokenizer: v.strictObject({ kind: oneOf('bytes', 'bpe', 'gpt2', 'json'), vocabulary: integer(1, 10_000_000), json: v.nullable(cid) }),
    data: v.variant('corpus', [
      v.strictObject({ corpus: v.literal('sotu') }),
      v.strictObject({ corpus: v.literal('private') }),
      v.strictObject({
        corpus: v.literal('files'),
        /** Each file by the CID of its file index. */
        files: v.pipe(
          v.array(v.strictObject({ name: path, file: cid }), FILES_TEXT),
          v.minLength(1, FILES_TEXT),
          v.maxLength(1000, FILES_TEXT)
        )
      })
    ]),
    strategy: v.strictObject({
      ...strategyEntries,
      maxStepsAhead: integer(0, 1_000_000),
      maxTokensPerRound,
      /** Left out by manifests from before there was such a thing: nothing is cut, as with null. */
      screening: v.optional(screeningSchema)
    }),
    optimizer: v.strictObject({ ...optimizerEntries, totalSteps: integer(1, 1_000_000_000) }),
    seed: integer(0, 2 ** 32 - 1),
    /** The anchor of record 0, and the ids that rank and weigh before anybody has been accepted; the author is the first. */
    genesis: v.strictObject({ anchor: cid, peers: peerList(1) }),
    admission: admissionSchema
  },
  'a manifest'
)

/** What all nodes of a run agree on; plain data, encoded as dag-cbor. */
export type Manifest = v.InferOutput<typeof manifestSchema>
