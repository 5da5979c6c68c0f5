// Every decoder of bytes that others may have made, in one table: what valid inputs look like, how they are read and written again, and whose error refuses them.
import { Readable } from 'node:stream'
import * as dagCbor from '@ipld/dag-cbor'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { CliError } from '../../cli/errors.ts'
import { parseScenario } from '../../cli/mesh/scenario.ts'
import { queryNumber, readBody } from '../../daemon/api/requests.ts'
import { findRoute, ROUTES, type RouteComponents } from '../../daemon/api/routes.ts'
import { DaemonError } from '../../daemon/errors.ts'
import { identityText, keyOf } from '../../daemon/identity.ts'
import { backupText, parseBackup } from '../../daemon/identity-backup.ts'
import {
  DEMO_SPEC,
  decodeManifest,
  encodeManifest,
  type Manifest,
  openManifest,
  parseRunSpec,
  resolveManifest,
  signManifest
} from '../../daemon/manifest.ts'
import { parseAddress } from '../../daemon/node-addresses.ts'
import { openNoRuns } from '../../daemon/run/no-runs.ts'
import { decodeInvitation, encodeInvitation, type InvitationText } from '../../protocols/admission/index.ts'
import {
  decodeAdmissionAnswer,
  decodeAdmissionRequest,
  decodeGrant,
  encodeAdmissionAnswer,
  encodeAdmissionRequest,
  encodeGrant
} from '../../protocols/admission/messages.ts'
import { AnswerDecoder, AnswerEncoder, decodeRequest, encodeRequest } from '../../protocols/blocks/messages.ts'
import { decodeBodyRoot, decodeStageIndex, encodeBodyRoot, encodeStageIndex } from '../../protocols/bodies/messages.ts'
import { cidFromBytes, cidOf, cidToBytes, DAG_CBOR, parseCid, RAW } from '../../protocols/cids.ts'
import { INVITATION_PREFIX } from '../../protocols/control/constants.ts'
import { ControlError } from '../../protocols/control/errors.ts'
import { encodeServerSentEvent, parseServerSentEvents, type ServerSentEvent } from '../../protocols/control/server-sent-events.ts'
import { isProtocolError } from '../../protocols/errors.ts'
import { decodeAnswer, decodeQuestion, encodeAnswer, encodeQuestion, type Who } from '../../protocols/identity/messages.ts'
import { decodePresence, encodePresence, type Presence } from '../../protocols/presence/messages.ts'
import { decodeRoundsMessage, encodeRoundsMessage } from '../../protocols/rounds/gossip-messages.ts'
import {
  type Contribution,
  decodeContribution,
  decodeRecord,
  encodeContribution,
  encodeRecord,
  openContribution,
  openRecord,
  type RoundRecord,
  signContribution,
  signRecord
} from '../../protocols/rounds/index.ts'
import { SIGNED_BLOCKS } from '../../protocols/signed-block.ts'
import {
  decodeChainAnswer,
  decodeHeadAnswer,
  decodeSyncRequest,
  encodeChainAnswer,
  encodeHeadAnswer,
  encodeSyncRequest
} from '../../protocols/sync/messages.ts'
import { decodeOpinion, encodeOpinion } from '../../protocols/trust/messages.ts'
import { parseShardIndex } from '../../storage/checkpoints.ts'
import { encodeSafetensors, readSafetensors, StorageError, type StoredTensor } from '../../storage/index.ts'
import { createCodec } from '../../training/compression/index.ts'
import { tokenizerFromJson } from '../../training/data/tokenizer-json.ts'
import { trainByteBpe } from '../../training/data/train-bpe.ts'
import { TrainingError } from '../../training/errors.ts'
import type { Form } from './mutate.ts'

export interface FuzzedDecoder {
  name: string
  form: Form
  /** True for an error of the decoder's own room. */
  isRefusal(error: unknown): boolean
  /** MiB that reading one small input may allocate, garbage included. */
  allocatesMiB: number
  /** What a person wrote, read by a parser a hundred times as slow as the others: `npm test` gives it a tenth of the inputs. */
  isSlow?: true
  open(): Promise<OpenDecoder>
}

export interface OpenDecoder {
  /** Valid inputs. */
  seeds: Uint8Array[]
  decode(bytes: Uint8Array): unknown
  /** Writes a decoded value and reads it again. Left out where writing loses something by design. */
  again?(value: never, bytes: Uint8Array): unknown
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')
const cid = (n: number, codec: typeof RAW | typeof DAG_CBOR = DAG_CBOR): string => cidOf(Uint8Array.from([n, n >> 8]), codec)
const key = generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const self = async (): Promise<string> => peerIdFromPrivateKey(await key).toString()

const isTraining = (error: unknown): boolean => error instanceof TrainingError
const isDaemon = (error: unknown): boolean => error instanceof DaemonError
const isStorage = (error: unknown): boolean => error instanceof StorageError

const PRESENCES: Presence[] = [
  { session: 1, seq: 1, timeMs: 1.7e12, leaving: false, version: '0.1.0', agent: 'shoal/0.1.0', runs: [] },
  {
    session: 2 ** 40,
    seq: 77,
    timeMs: 1.7e12,
    leaving: true,
    version: '0.1.0',
    agent: 'shoal/0.1.0',
    runs: [
      { run: cid(1), head: null, round: 0, state: 'joining', step: 0, holding: [] },
      { run: cid(2), head: cid(3), round: 12, state: 'training', step: 600, holding: [cid(4), cid(5), cid(6)] }
    ]
  }
]

async function contributionOf(changes: Partial<Contribution> = {}): Promise<Contribution> {
  const facts = { run: cid(1), round: 3, parent: cid(2), tokens: 51_200, steps: 50, loss: 2.25, codec: 'int8', norm: 0.125, body: cid(3) }
  return { ...facts, peer: await self(), ...changes }
}

async function recordOf(changes: Partial<RoundRecord> = {}): Promise<RoundRecord> {
  const facts = { run: cid(1), round: 3, parent: cid(2), contributions: [cid(4), cid(5), cid(6)], anchor: cid(7) }
  return { ...facts, closer: await self(), ...changes }
}

async function manifestOf(): Promise<Manifest> {
  const tokenizer = { kind: 'bytes' as const, vocabulary: 257, json: null }
  return resolveManifest(parseRunSpec(DEMO_SPEC), { author: await self(), tokenizer, anchor: cid(9) })
}

async function invitationOf(addresses: number): Promise<InvitationText> {
  const inviter = await self()
  const address = `/ip4/127.0.0.1/tcp/4101/p2p/${inviter}`
  return { run: cid(1), inviter, addresses: new Array<string>(addresses).fill(address), secret: new Uint8Array(16).fill(5) }
}

const TENSORS: StoredTensor[] = [
  { name: 'transformer.wte.weight', dtype: 'F32', shape: [3, 4], bytes: new Uint8Array(48).fill(63) },
  { name: 'b', dtype: 'F16', shape: [5], bytes: new Uint8Array(10) },
  { name: 'empty', dtype: 'I32', shape: [0, 7], bytes: new Uint8Array(0) }
]

const RUN_YAML = `name: demo
model: { family: gpt2, layers: 2, width: 96, heads: 4, context: 64, biases: false }
tokenizer: { kind: bytes }
data: { corpus: private }
strategy: { outer: { name: nesterov, learningRate: 0.7, momentum: 0.9 }, codec: { name: topk }, innerSteps: 50, deadlineMs: 20s, quorum: 2 }
optimizer: { learningRate: 5e-3, schedule: cosine, warmupSteps: 20, totalSteps: 1000, batch: 16 }
`
const RUN_DEPTH_YAML = 'name: deep\nmodel: { family: llama, depth: 4 }\ntokenizer: { kind: bpe, vocabulary: 512 }\ndata: { corpus: sotu }\n'
const SCENARIO_YAML = `nodes: 4
rounds: 8
timeout: 5m
engines: { 2: wasm }
steps:
  - { at: { phase: closing, round: 4, node: closer }, do: kill, node: closer }
  - { at: { round: 6 }, do: restart, node: closer }
expect: [equalAnchors, { heldOutBelow: 2.5 }]
`

const GPT2_CONFIG = {
  model_type: 'gpt2',
  vocab_size: 257,
  n_positions: 8,
  n_embd: 8,
  n_layer: 1,
  n_head: 2,
  n_inner: null,
  activation_function: 'gelu_new',
  layer_norm_epsilon: 1e-5,
  tie_word_embeddings: true,
  shoal: { biases: false }
}
const LLAMA_CONFIG = {
  model_type: 'llama',
  vocab_size: 257,
  max_position_embeddings: 8,
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 4,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  rope_parameters: { rope_type: 'default', rope_theta: 10_000 },
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true
}

/** What a control request reaches in a node that keeps no runs. */
const ROUTE_COMPONENTS = {
  runs: openNoRuns(),
  face: { connect: async (address: string) => parseAddress(address).toString(), shutdown: () => {} }
} as unknown as RouteComponents
const POSTS = ROUTES.filter(({ method }) => method === 'POST')

async function answerRequest(method: string, target: string, body: Uint8Array): Promise<unknown> {
  let url: URL
  try {
    url = new URL(target, 'http://localhost')
  } catch (cause) {
    // As the server does it.
    throw new DaemonError('bad_request', 'the request has no path that can be read', { cause })
  }
  const found = findRoute(method, url.pathname)
  if (!('route' in found) || method !== 'POST') {
    for (const name of ['limit', 'since', 'tail']) queryNumber(url.searchParams, name, { min: 0, max: 10_000 })
    throw new DaemonError('not_found', 'nothing is there')
  }
  const request = Object.assign(Readable.from(body.length === 0 ? [] : [Buffer.from(body)]), { headers: {} })
  const call = {
    params: found.params,
    query: url.searchParams,
    signal: new AbortController().signal,
    body: <T extends Parameters<typeof readBody>[1]>(schema: T) => readBody(request as unknown as Parameters<typeof readBody>[0], schema),
    number: (name: string, range: { min: number; max: number }) => queryNumber(url.searchParams, name, range)
  }
  return await found.route.handle(call, ROUTE_COMPONENTS)
}

/** Cuts the bytes where they themselves say, so that every cut is tried and an input always means the same. */
function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + (bytes[at]! % 251) * (bytes[at]! % 7)
    yield bytes.subarray(at, at + length)
    at += length
  }
}

function decodeAnswers(bytes: Uint8Array): { answers: (Uint8Array | undefined)[]; whole: boolean } {
  const decoder = new AnswerDecoder()
  const answers: (Uint8Array | undefined)[] = []
  for (const frame of pieces(bytes)) for (const answer of decoder.push(frame)) answers.push(answer)
  return { answers, whole: decoder.atBoundary }
}

function encodeAnswers(answers: (Uint8Array | undefined)[]): Uint8Array {
  const encoder = new AnswerEncoder()
  return Buffer.concat([...answers.flatMap(answer => encoder.add(answer)), ...encoder.flush()])
}

async function eventsOf(bytes: Uint8Array, maxBytes = 100): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = []
  for await (const event of parseServerSentEvents(Readable.from(pieces(bytes)), maxBytes)) events.push(event)
  return events
}

/** The bytes of a codec, behind one byte that says how many values they should be. */
function codecDecoder(name: string): FuzzedDecoder {
  const codec = createCodec(name)
  const values = Float32Array.from({ length: 40 }, (_, index) => (index % 3 === 0 ? 0 : Math.fround((index - 20) / 7)))
  const exact = name === 'f32' || name === 'f16'
  return {
    name: `codec-${name.replaceAll('/', '-')}`,
    form: 'bytes',
    isRefusal: isTraining,
    allocatesMiB: 2,
    open: async () => ({
      seeds: [1, 16, 40].map(count => Buffer.concat([Uint8Array.from([count]), codec.encode(values.subarray(0, count), [count])])),
      decode: bytes => {
        const decoded = codec.decode(bytes.subarray(1), shapeOf(bytes[0] ?? 0))
        if (!decoded.every(Number.isFinite)) throw new Error('a value that is not finite was let through')
        return decoded
      },
      again: (decoded: Float32Array) => {
        const again = codec.decode(codec.encode(decoded, [decoded.length]), [decoded.length])
        // A lossy one rounds again: it must only be able to.
        return exact ? again : decoded
      }
    })
  }
}

/** Small counts as they are; the rest stand for shapes that a lying index could name. */
function shapeOf(byte: number): number[] {
  if (byte <= 64) return [byte]
  const shapes = [
    [2 ** 28],
    [2 ** 14, 2 ** 14],
    [2 ** 40],
    [-1],
    [1.5],
    [Number.NaN],
    [0, 2 ** 53],
    [Number.POSITIVE_INFINITY, 0],
    [],
    [2, 20]
  ]
  return shapes[byte % shapes.length]!
}

const WHOS: Who[] = [
  { session: 1, host: 'alpha', addresses: ['/ip4/10.0.0.1/tcp/4101'] },
  { session: 2 ** 47 - 1, host: '', addresses: [] }
]

export const DECODERS: readonly FuzzedDecoder[] = [
  {
    name: 'presence',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: PRESENCES.map(encodePresence),
      decode: decodePresence,
      again: (value: Presence) => decodePresence(encodePresence(value))
    })
  },
  {
    name: 'who-question',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 4,
    open: async () => ({
      seeds: [encodeQuestion([]), encodeQuestion(WHOS)],
      decode: decodeQuestion,
      again: (value: Who[]) => decodeQuestion(encodeQuestion(value))
    })
  },
  {
    name: 'who-answer',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 4,
    open: async () => ({
      seeds: WHOS.map(encodeAnswer),
      decode: decodeAnswer,
      again: (value: Who) => decodeAnswer(encodeAnswer(value))
    })
  },
  {
    name: 'rounds-gossip',
    form: 'bytes',
    isRefusal: isProtocolError,
    allocatesMiB: 4,
    open: async () => {
      const contribution = (await signContribution(await contributionOf(), await key)).bytes
      const record = (await signRecord(await recordOf(), await key)).bytes
      return {
        seeds: [
          encodeRoundsMessage({ kind: 'contribution', block: contribution }),
          encodeRoundsMessage({ kind: 'record', block: record }),
          encodeRoundsMessage({ kind: 'holding', contributions: [cid(1), cid(2), cid(3)] })
        ],
        decode: decodeRoundsMessage,
        again: (value: ReturnType<typeof decodeRoundsMessage>) => decodeRoundsMessage(encodeRoundsMessage(value))
      }
    }
  },
  {
    name: 'contribution',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [encodeContribution(await contributionOf()), encodeContribution(await contributionOf({ codec: 'topk/0.1/64/f32', round: 1 }))],
      // Out of a signed block, which bounds it.
      decode: bytes => decodeContribution(bytes.subarray(0, SIGNED_BLOCKS['shoal/contribution/1'].maxBytes)),
      again: (value: Contribution) => decodeContribution(encodeContribution(value))
    })
  },
  {
    name: 'record',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 16,
    open: async () => ({
      seeds: [encodeRecord(await recordOf()), encodeRecord(await recordOf({ contributions: Array.from({ length: 9 }, (_, n) => cid(n)) }))],
      decode: bytes => decodeRecord(bytes.subarray(0, SIGNED_BLOCKS['shoal/record/1'].maxBytes)),
      again: (value: RoundRecord) => decodeRecord(encodeRecord(value))
    })
  },
  {
    name: 'signed-contribution',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 4,
    open: async () => ({
      seeds: [(await signContribution(await contributionOf(), await key)).bytes],
      decode: async bytes => (await openContribution(bytes)).contribution,
      again: async (value: Contribution) => (await openContribution((await signContribution(value, await key)).bytes)).contribution
    })
  },
  {
    name: 'signed-record',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 4,
    open: async () => ({
      seeds: [(await signRecord(await recordOf(), await key)).bytes],
      decode: async bytes => (await openRecord(bytes)).record,
      again: async (value: RoundRecord) => (await openRecord((await signRecord(value, await key)).bytes)).record
    })
  },
  {
    name: 'manifest',
    form: 'cbor',
    isRefusal: isDaemon,
    allocatesMiB: 16,
    open: async () => ({
      seeds: [encodeManifest(await manifestOf()), encodeManifest({ ...(await manifestOf()), admission: [await self()] } as Manifest)],
      decode: decodeManifest,
      again: (value: Manifest) => decodeManifest(encodeManifest(value))
    })
  },
  {
    name: 'signed-manifest',
    form: 'cbor',
    isRefusal: isDaemon,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [(await signManifest(await manifestOf(), await key)).bytes],
      decode: async bytes => (await openManifest(bytes)).manifest,
      again: async (value: Manifest) => (await openManifest((await signManifest(value, await key)).bytes)).manifest
    })
  },
  {
    name: 'blocks-request',
    form: 'bytes',
    isRefusal: isProtocolError,
    allocatesMiB: 2,
    open: async () => ({
      seeds: [
        encodeRequest({ kind: 'want', cids: [cid(1), cid(2, RAW)] }),
        encodeRequest({ kind: 'credit', bytes: 3 * 1024 * 1024 }),
        encodeRequest({ kind: 'want', cids: Array.from({ length: 9 }, (_, n) => cid(n, RAW)) })
      ],
      decode: decodeRequest,
      again: (value: ReturnType<typeof decodeRequest>) => decodeRequest(encodeRequest(value))
    })
  },
  {
    name: 'blocks-answers',
    form: 'bytes',
    isRefusal: isProtocolError,
    // A block's five first bytes may announce as much.
    allocatesMiB: 3,
    open: async () => ({
      seeds: [
        encodeAnswers([new Uint8Array(3).fill(9), undefined, new Uint8Array(0), new Uint8Array(700).fill(1)]),
        encodeAnswers([undefined])
      ],
      decode: decodeAnswers,
      again: (value: ReturnType<typeof decodeAnswers>) => ({ ...decodeAnswers(encodeAnswers(value.answers)), whole: value.whole })
    })
  },
  {
    name: 'body-root',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 16,
    open: async () => ({
      seeds: [encodeBodyRoot({ stages: ['embedding', 'block.0', 'head'].map((name, n) => ({ name, index: cid(n) })) }).bytes],
      decode: decodeBodyRoot,
      again: (value: ReturnType<typeof decodeBodyRoot>) => decodeBodyRoot(encodeBodyRoot(value).bytes)
    })
  },
  {
    name: 'stage-index',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 16,
    open: async () => ({
      seeds: [
        encodeStageIndex({
          tensors: [
            { name: 'a', shape: [2, 3], size: 24, chunks: [cid(1, RAW)] },
            { name: 'b', shape: [], size: 0, chunks: [] },
            { name: 'c', shape: [700_000], size: 2_800_000, chunks: [cid(1, RAW), cid(2, RAW), cid(3, RAW)] }
          ]
        }).bytes
      ],
      decode: decodeStageIndex,
      again: (value: ReturnType<typeof decodeStageIndex>) => decodeStageIndex(encodeStageIndex(value).bytes)
    })
  },
  {
    name: 'sync-request',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [
        encodeSyncRequest({ ask: 'head', run: cid(1) }),
        encodeSyncRequest({ ask: 'chain', run: cid(1), fromRound: 7, limit: 1_024 })
      ],
      decode: decodeSyncRequest,
      again: (value: ReturnType<typeof decodeSyncRequest>) => decodeSyncRequest(encodeSyncRequest(value))
    })
  },
  {
    name: 'grant',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [encodeGrant({ run: cid(1), peer: await self(), inviter: await self(), untilRound: 192 })],
      decode: decodeGrant,
      again: (value: ReturnType<typeof decodeGrant>) => decodeGrant(encodeGrant(value))
    })
  },
  {
    name: 'admission-request',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [
        encodeAdmissionRequest({ say: 'admit', run: cid(1), name: 'attic', secret: new Uint8Array(16), grant: new Uint8Array(300) }),
        encodeAdmissionRequest({ say: 'revoked', run: cid(1), peer: await self() })
      ],
      decode: decodeAdmissionRequest,
      again: (value: ReturnType<typeof decodeAdmissionRequest>) => decodeAdmissionRequest(encodeAdmissionRequest(value))
    })
  },
  {
    name: 'admission-answer',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [
        encodeAdmissionAnswer({ is: 'granted', grant: new Uint8Array(300) }),
        encodeAdmissionAnswer({ is: 'pending' }),
        encodeAdmissionAnswer({ is: 'refused', code: 'invitation_expired' })
      ],
      decode: decodeAdmissionAnswer,
      again: (value: ReturnType<typeof decodeAdmissionAnswer>) => decodeAdmissionAnswer(encodeAdmissionAnswer(value))
    })
  },
  {
    name: 'invitation',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => {
      const texts = [encodeInvitation(await invitationOf(1)), encodeInvitation(await invitationOf(0))]
      return {
        seeds: texts.map(invitation => Buffer.from(invitation.slice(INVITATION_PREFIX.length), 'base64url')),
        decode: bytes => decodeInvitation(INVITATION_PREFIX + Buffer.from(bytes).toString('base64url')),
        again: (value: InvitationText) => decodeInvitation(encodeInvitation(value))
      }
    }
  },
  {
    name: 'invitation-text',
    form: 'bytes',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [Buffer.from(encodeInvitation(await invitationOf(2)))],
      decode: bytes => decodeInvitation(text(bytes)),
      again: (value: InvitationText) => decodeInvitation(encodeInvitation(value))
    })
  },
  {
    name: 'opinion',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [encodeOpinion({ run: cid(1), peer: await self(), about: await self(), round: 7, code: 'norm_mismatch' })],
      decode: decodeOpinion,
      again: (value: ReturnType<typeof decodeOpinion>) => decodeOpinion(encodeOpinion(value))
    })
  },
  {
    name: 'sync-head',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [encodeHeadAnswer(null), encodeHeadAnswer({ head: cid(1), round: 7 })],
      decode: decodeHeadAnswer,
      again: (value: ReturnType<typeof decodeHeadAnswer>) => decodeHeadAnswer(encodeHeadAnswer(value))
    })
  },
  {
    name: 'sync-chain',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 16,
    open: async () => ({
      seeds: [encodeChainAnswer(null), encodeChainAnswer({ records: [cid(1), cid(2), cid(3)] })],
      decode: decodeChainAnswer,
      again: (value: ReturnType<typeof decodeChainAnswer>) => decodeChainAnswer(encodeChainAnswer(value))
    })
  },
  {
    name: 'cid-bytes',
    form: 'bytes',
    isRefusal: isProtocolError,
    allocatesMiB: 1,
    open: async () => ({
      seeds: [cidToBytes(cid(1)), cidToBytes(cid(2, RAW))],
      decode: cidFromBytes,
      again: (value: string) => cidFromBytes(cidToBytes(value))
    })
  },
  {
    name: 'cid-text',
    form: 'bytes',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [Buffer.from(cid(1)), Buffer.from('QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG'), Buffer.from('bafkqaaa')],
      decode: bytes => parseCid(text(bytes)).toString(),
      again: (value: string) => parseCid(value).toString()
    })
  },
  {
    name: 'address',
    form: 'bytes',
    isRefusal: isDaemon,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [
        Buffer.from(`/ip4/127.0.0.1/tcp/4101/p2p/${await self()}`),
        Buffer.from('/ip6/::1/tcp/4101'),
        Buffer.from('/dns4/example.org/tcp/443/wss/http-path/a%2Fb/unix/a')
      ],
      // As a request gives it: at most 1,024 characters.
      decode: bytes => parseAddress(text(bytes).slice(0, 1_024)).toString(),
      again: (value: string) => parseAddress(value).toString()
    })
  },
  {
    name: 'control-request',
    form: 'bytes',
    isRefusal: isDaemon,
    allocatesMiB: 16,
    open: async () => ({
      seeds: [
        'POST /v1/runs/demo/join\n{"data":["/a"],"train":true,"engine":"auto","threads":2}',
        'POST /v1/peers/connect\n{"address":"/ip4/127.0.0.1/tcp/4101"}',
        `POST /v1/checkpoints/export\n{"run":"demo","round":3,"directory":"/tmp/x"}`,
        'GET /v1/events?since=7&limit=20\n',
        'GET /v1/logs?tail=20&format=json\n'
      ].map(request => Buffer.from(request)),
      decode: async bytes => {
        const request = text(bytes)
        const [head = '', ...rest] = request.split('\n')
        const [method = '', target = ''] = head.split(' ')
        return answerRequest(method, target, Buffer.from(rest.join('\n')))
      }
    })
  },
  {
    name: 'control-body',
    form: 'json',
    // An invitation's own error goes to who asks as it is.
    isRefusal: error => isDaemon(error) || isProtocolError(error),
    allocatesMiB: 24,
    open: async () => ({
      seeds: [
        { data: ['/a', 'sotu:1790-1860'], train: true, engine: 'auto', threads: 2 },
        { run: 'demo', round: 3, directory: '/tmp/x' },
        { address: '/ip4/127.0.0.1/tcp/4101' },
        { invitation: encodeInvitation(await invitationOf(1)), name: 'attic', train: true },
        { spec: DEMO_SPEC, file: 'run.yaml', baseDir: '/tmp' },
        { spec: RUN_YAML }
      ].map(body => Buffer.from(JSON.stringify(body))),
      decode: async bytes => {
        // One path is enough for an input, and its length is as good as chance.
        const { path } = POSTS[bytes.length % POSTS.length]!
        return answerRequest('POST', path.replace(':run', 'demo'), bytes)
      }
    })
  },
  {
    name: 'server-sent-events',
    form: 'bytes',
    isRefusal: error => error instanceof ControlError,
    allocatesMiB: 16,
    open: async () => ({
      seeds: [
        Buffer.from(encodeServerSentEvent({ id: 7, event: 'round', data: '{"a":"ü"}' }) + encodeServerSentEvent({ data: 'two\nlines' })),
        Buffer.from(': still here\r\n\r\ndata: x\r\n\r\n')
      ],
      decode: bytes => eventsOf(bytes),
      // With the fields that were left out, and a name before each line, it is longer than what was read.
      again: async (events: ServerSentEvent[]) => eventsOf(Buffer.from(events.map(event => encodeServerSentEvent(event)).join('')), 1_000)
    })
  },
  {
    name: 'run-description',
    isSlow: true,
    form: 'json',
    isRefusal: isDaemon,
    allocatesMiB: 48,
    open: async () => ({
      // JSON is YAML, too.
      seeds: [Buffer.from(JSON.stringify(DEMO_SPEC)), Buffer.from(JSON.stringify({ ...DEMO_SPEC, genesis: { peers: [await self()] } }))],
      decode: bytes => parseRunSpec(text(bytes)),
      again: (value: unknown) => parseRunSpec(value)
    })
  },
  {
    name: 'run-description-yaml',
    isSlow: true,
    form: 'bytes',
    isRefusal: isDaemon,
    allocatesMiB: 48,
    open: async () => ({
      seeds: [Buffer.from(RUN_YAML), Buffer.from(RUN_DEPTH_YAML)],
      decode: bytes => parseRunSpec(text(bytes)),
      again: (value: unknown) => parseRunSpec(value)
    })
  },
  {
    name: 'scenario',
    isSlow: true,
    form: 'bytes',
    isRefusal: error => error instanceof CliError,
    allocatesMiB: 48,
    open: async () => ({ seeds: [Buffer.from(SCENARIO_YAML)], decode: bytes => parseScenario(text(bytes)) })
  },
  {
    name: 'safetensors',
    form: 'bytes',
    isRefusal: isStorage,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [encodeSafetensors(TENSORS), encodeSafetensors(TENSORS.slice(1), { format: 'pt' }), encodeSafetensors([])],
      decode: bytes => readSafetensors(bytes),
      again: ({ tensors, metadata }: ReturnType<typeof readSafetensors>) => {
        const read = readSafetensors(encodeSafetensors(tensors, metadata))
        // Wide dtypes go first when it is written.
        const byName = new Map(read.tensors.map(tensor => [tensor.name, tensor]))
        return { metadata: read.metadata, tensors: tensors.map(({ name }) => byName.get(name)) }
      }
    })
  },
  {
    name: 'safetensors-header',
    form: 'json',
    isRefusal: isStorage,
    allocatesMiB: 24,
    open: async () => {
      const framed = (header: Uint8Array): Uint8Array => {
        const file = Buffer.alloc(8 + header.length + 48)
        file.writeBigUInt64LE(BigInt(header.length))
        file.set(header, 8)
        return file
      }
      return {
        seeds: [
          { a: { dtype: 'F32', shape: [3, 4], data_offsets: [0, 48] } },
          {
            __metadata__: { format: 'pt' },
            a: { dtype: 'F16', shape: [4], data_offsets: [0, 8] },
            b: { dtype: 'U8', shape: [40], data_offsets: [8, 48] }
          }
        ].map(header => Buffer.from(JSON.stringify(header))),
        decode: bytes => readSafetensors(framed(bytes)).tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape }))
      }
    }
  },
  {
    name: 'checkpoint-index',
    form: 'json',
    isRefusal: isStorage,
    allocatesMiB: 24,
    open: async () => ({
      seeds: [
        { metadata: { total_size: 96 }, weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' } },
        { weight_map: { 'transformer.wte.weight': 'a.safetensors' } }
      ].map(index => Buffer.from(JSON.stringify(index))),
      decode: bytes => parseShardIndex(text(bytes)),
      again: (shardOf: Map<string, string>) => parseShardIndex(JSON.stringify({ weight_map: Object.fromEntries(shardOf) }))
    })
  },
  {
    name: 'identity-backup',
    form: 'bytes',
    isRefusal: isDaemon,
    allocatesMiB: 8,
    open: async () => ({
      seeds: [Buffer.from(backupText(await key)), Buffer.from(backupText(await key).replaceAll('\n', '\r\n'))],
      decode: async bytes => identityText(await parseBackup('a backup', text(bytes))),
      again: async (identity: string) => identityText(await parseBackup('a backup', backupText((await keyOf(identity))!)))
    })
  },
  {
    name: 'checkpoint-config',
    form: 'json',
    isRefusal: isTraining,
    allocatesMiB: 24,
    open: async () => {
      const { fromHuggingFace, toHuggingFace } = await import('../../training/models/huggingface/index.ts')
      const { createModel } = await import('../../training/models/model.ts')
      const { initialParameters } = await import('../../training/models/initial-parameters.ts')
      const models = (
        [
          { family: 'gpt2', vocabulary: 257, context: 8, width: 8, layers: 1, heads: 2, biases: false, tiedEmbeddings: true },
          {
            family: 'llama',
            vocabulary: 257,
            context: 8,
            width: 8,
            layers: 1,
            heads: 2,
            keyValueHeads: 1,
            hidden: 16,
            tiedEmbeddings: true
          }
        ] as const
      ).map(config => createModel(config))
      const tensors = models.map(model => toHuggingFace(model, initialParameters(model, 1)).tensors)
      return {
        seeds: [GPT2_CONFIG, LLAMA_CONFIG].map(config => Buffer.from(JSON.stringify(config))),
        decode: bytes => {
          let config: unknown
          try {
            config = JSON.parse(text(bytes))
          } catch (cause) {
            throw new TrainingError('bad_hugging_face_folder', 'not JSON', { cause })
          }
          // storage hands over objects only.
          if (typeof config !== 'object' || config === null || Array.isArray(config))
            throw new TrainingError('bad_hugging_face_folder', 'not a map')
          return fromHuggingFace(config, tensors[(config as { model_type?: unknown }).model_type === 'llama' ? 1 : 0]!).config
        },
        again: (config: Parameters<typeof createModel>[0]) => {
          const model = createModel(config)
          const written = toHuggingFace(model, initialParameters(model, 1))
          return fromHuggingFace(JSON.parse(JSON.stringify(written.config)) as object, written.tensors).config
        }
      }
    }
  },
  {
    name: 'tokenizer-json',
    isSlow: true,
    form: 'json',
    isRefusal: isTraining,
    // Ids up to 2^20 are taken, and each has a place in a list.
    allocatesMiB: 80,
    open: async () => ({
      seeds: [
        Buffer.from(trainByteBpe(['a text to learn a few merges from, a text'], { vocabulary: 262 }).files()['tokenizer.json']!),
        Buffer.from(JSON.stringify(SMALL_TOKENIZER))
      ],
      decode: async bytes => {
        const tokenizer = await tokenizerFromJson(text(bytes))
        return { vocabulary: tokenizer.vocabulary, endOfText: tokenizer.endOfText, file: tokenizer.files()['tokenizer.json'] }
      },
      again: async ({ file }: { file: string }) => {
        const tokenizer = await tokenizerFromJson(file)
        return { vocabulary: tokenizer.vocabulary, endOfText: tokenizer.endOfText, file: tokenizer.files()['tokenizer.json'] }
      }
    })
  },
  ...['f32', 'f16', 'int8', 'int8/16', 'topk', 'topk/0.25/16/int8'].map(codecDecoder),
  {
    name: 'codec-name',
    form: 'bytes',
    isRefusal: isTraining,
    allocatesMiB: 1,
    open: async () => ({
      seeds: ['f32', 'int8/64', 'topk/0.1/64/f32', 'topk/0.25/16/int8'].map(name => Buffer.from(name)),
      decode: bytes => createCodec(text(bytes)).name,
      again: (name: string) => createCodec(name).name
    })
  },
  {
    name: 'dag-cbor',
    form: 'cbor',
    isRefusal: isProtocolError,
    allocatesMiB: 8,
    open: async () => {
      const { decodeMap } = await import('../../protocols/signed-block.ts')
      return {
        seeds: [dagCbor.encode({ a: [1, 'x', null, { b: Uint8Array.from([1]) }], c: 1.5, d: -7 })],
        // It compares with what it encodes again itself, however deep.
        decode: bytes => decodeMap('a map', bytes)
      }
    }
  }
]

const SMALL_TOKENIZER = {
  version: '1.0',
  added_tokens: [{ id: 5, content: '</s>', special: true }],
  normalizer: { type: 'Lowercase' },
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: null,
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  model: { type: 'WordPiece', unk_token: '[UNK]', vocab: { '[UNK]': 0, a: 1, text: 2, '##s': 3, of: 4 } }
}

/** @throws RangeError for a name that no decoder has */
export function decoderNamed(name: string): FuzzedDecoder {
  const found = DECODERS.find(decoder => decoder.name === name)
  if (found === undefined) throw new RangeError(`there is no decoder ${name}: they are ${DECODERS.map(decoder => decoder.name).join(', ')}`)
  return found
}
