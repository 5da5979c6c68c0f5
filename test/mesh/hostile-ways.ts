// How a hostile peer speaks our protocols wrongly: each way with its name, what it does, and the codes of which one at least must be told of it.

import { connect } from 'node:net'
import * as dagCbor from '@ipld/dag-cbor'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { encodeRequest } from '../../protocols/blocks/messages.ts'
import { cidOf, DAG_CBOR, parseCid, RAW } from '../../protocols/cids.ts'
import { encodePresence, type Presence } from '../../protocols/presence/messages.ts'
import { encodeRoundsMessage } from '../../protocols/rounds/gossip-messages.ts'
import { type Contribution, signContribution, signRecord } from '../../protocols/rounds/index.ts'
import { decodeHeadAnswer, encodeSyncRequest } from '../../protocols/sync/messages.ts'
import { addProvider } from './dht-words.ts'
import type { Stranger, StrangerOptions } from './stranger.ts'

/** What a way works with. */
export interface Scene {
  network: string
  run: string
  victim: { peer: string; address: string }
  /** A new hostile node, connected with the victim and known to it. */
  stranger(options?: Partial<StrangerOptions>): Promise<Stranger>
}

export interface Way {
  name: string
  /** One of them is told of the peer that did it, within the time; none where it is only to cost nothing. */
  codes: readonly string[]
  /** Resolves with the peers that did it. */
  act(scene: Scene): Promise<Stranger>
}

const cid = (n: number, codec: typeof RAW | typeof DAG_CBOR = RAW): string => cidOf(Uint8Array.from([n, n >> 8, n >> 16, 99]), codec)
const delay = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const random = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, index) => (index * 7919 + bytes) & 255)

/** A stream on which what goes wrong is nobody's concern. */
async function open(stranger: Stranger, scene: Scene, protocol: string): Promise<Stream> {
  return await stranger.open(scene.victim.peer, protocol)
}

const say = async (stream: Stream, ...frames: Uint8Array[]): Promise<void> => {
  const frame = lpStream(stream)
  for (const bytes of frames) await frame.write(bytes).catch(() => {})
}

/** Raw bytes, whatever they claim to be. */
const send = (stream: Stream, bytes: readonly number[]): void => {
  stream.send(Uint8Array.from(bytes))
}

const onBlocks = (name: string, codes: string[], act: (stream: Stream, stranger: Stranger, scene: Scene) => unknown): Way =>
  onStream('blocks/1', name, codes, act)
const onSync = (name: string, codes: string[], act: (stream: Stream, stranger: Stranger, scene: Scene) => unknown): Way =>
  onStream('sync/1', name, codes, act)

function onStream(
  protocol: string,
  name: string,
  codes: string[],
  act: (stream: Stream, stranger: Stranger, scene: Scene) => unknown
): Way {
  return {
    name: `${protocol.split('/')[0]}: ${name}`,
    codes,
    act: async scene => {
      const stranger = await scene.stranger()
      try {
        await act(await open(stranger, scene, protocol), stranger, scene)
      } catch {
        // The other side has had enough: that is what is looked for.
      }
      return stranger
    }
  }
}

/** Says something on a topic, once the victim has told that it listens to it. */
function onTopic(
  topic: 'presence' | 'rounds',
  name: string,
  codes: string[],
  messages: (stranger: Stranger, scene: Scene) => AsyncIterable<Uint8Array> | Promise<Uint8Array[]>
): Way {
  return {
    name: `${topic}: ${name}`,
    codes,
    act: async scene => {
      const stranger = await scene.stranger({ gossips: true })
      const full = topicOf(topic, scene)
      await stranger.hears(full, scene.victim.peer)
      const said = messages(stranger, scene)
      for await (const bytes of 'then' in said ? await said : said) await stranger.gossip.publish(full, bytes).catch(() => {})
      return stranger
    }
  }
}

const topicOf = (topic: 'presence' | 'rounds', { network, run }: Scene): string =>
  topic === 'presence' ? `/shoal/${network}/presence/1` : `/shoal/${network}/rounds/1/${run}`

const presenceOf = (changes: Partial<Presence> = {}): Presence => ({
  ...{ session: 5, seq: 1, timeMs: Date.now(), leaving: false, version: '0.1.0', agent: 'hostile', runs: [] },
  ...changes
})

const memberOf = (run: string, changes: Partial<Presence['runs'][number]> = {}): Presence =>
  presenceOf({ runs: [{ run, head: null, round: 0, state: 'observing', step: 0, holding: [], ...changes }] })

async function contributionOf(stranger: Stranger, run: string, changes: Partial<Contribution>): Promise<Uint8Array> {
  const facts = {
    run,
    round: 1,
    parent: run,
    peer: stranger.peer,
    // As many as a step of the victim's run has.
    tokens: 128,
    steps: 1,
    loss: 1,
    codec: 'int8',
    norm: 1,
    body: cid(1, DAG_CBOR)
  }
  const { bytes } = await signContribution({ ...facts, ...changes }, stranger.privateKey)
  return encodeRoundsMessage({ kind: 'contribution', block: bytes })
}

/** A member of the run that tells of a head, a chain or a body, and answers what it is asked as `answer` does. */
function lyingMember(
  name: string,
  codes: string[],
  said: Partial<Presence['runs'][number]>,
  answer: (protocol: string, stream: Stream) => void
): Way {
  return {
    name: `member: ${name}`,
    codes,
    act: async scene => {
      const stranger = await scene.stranger({ gossips: true, speaks: ['blocks/1', 'sync/1', 'presence/1', 'rounds/1'], answer })
      const topic = topicOf('presence', scene)
      await stranger.hears(topic, scene.victim.peer)
      for (let seq = 1; seq <= 3; seq++) {
        await stranger.gossip.publish(topic, encodePresence({ ...memberOf(scene.run, said), seq })).catch(() => {})
        await delay(300)
      }
      return stranger
    }
  }
}

/** Contributions to the rounds that are open, of one body: whoever asks for it gets these bytes; null: it is asked for nothing, as the block is there. */
function lyingAuthor(name: string, codes: string[], bodyOf: (scene: Scene) => { body: string; bytes: Uint8Array | null }): Way {
  return {
    name: `author: ${name}`,
    codes,
    act: async scene => {
      const { body, bytes } = bodyOf(scene)
      const answer = answerFrames(asked => (asked[0] === 1 && bytes !== null ? [blockAnswer(bytes)] : []))
      const stranger = await scene.stranger({ gossips: true, speaks: ['blocks/1', 'rounds/1'], answer })
      const topic = topicOf('rounds', scene)
      await stranger.hears(topic, scene.victim.peer)
      // A round is open for a second or two.
      for (let n = 0; n < 3; n++) {
        const stream = lpStream(await open(stranger, scene, 'sync/1'))
        await stream.write(encodeSyncRequest({ ask: 'head', run: scene.run }))
        const { head, round } = decodeHeadAnswer((await stream.read()).subarray())!
        const facts = { round: round + 1, parent: head, body }
        await stranger.gossip.publish(topic, await contributionOf(stranger, scene.run, facts)).catch(() => {})
        await delay(1_000)
      }
      return stranger
    }
  }
}

const answerFrames = (frames: (asked: Uint8Array) => Uint8Array[]) => (_: string, stream: Stream) => {
  const wire = lpStream(stream)
  const answer = async () => {
    for (;;) for (const frame of frames((await wire.read()).subarray())) await wire.write(frame)
  }
  answer().catch(() => {})
}

export const WAYS: readonly Way[] = [
  // ---- blocks
  onBlocks('a frame of an unknown kind', ['bad_message'], stream => say(stream, Uint8Array.from([9, 1, 2, 3]))),
  onBlocks('a frame that announces 256 MiB', ['message_too_large'], stream => send(stream, [0x80, 0x80, 0x80, 0x80, 0x01, 1, 2, 3])),
  onBlocks('a length that never ends', ['message_too_large'], stream => send(stream, new Array<number>(40).fill(0xff))),
  onBlocks('a frame cut off by closing', ['bad_message'], async stream => {
    send(stream, [100, 1, 2, 3])
    await stream.close().catch(() => {})
  }),
  onBlocks('more blocks asked for than a stream may owe', ['bad_message'], stream =>
    say(
      stream,
      ...Array.from({ length: 6 }, (_, page) =>
        encodeRequest({ kind: 'want', cids: Array.from({ length: 256 }, (_, n) => cid(page * 256 + n)) })
      )
    )
  ),
  onBlocks('thousands of blocks asked for that nobody has', [], async stream => {
    await say(stream, encodeRequest({ kind: 'credit', bytes: 2 ** 31 }))
    const frames = lpStream(stream)
    for (let page = 0; page < 20; page++) {
      await frames.write(encodeRequest({ kind: 'want', cids: Array.from({ length: 256 }, (_, n) => cid(page * 256 + n)) }))
      for (let answers = 0; answers < 256; ) answers += (await frames.read()).byteLength
    }
    stream.abort(new Error('enough'))
  }),
  onBlocks('never reading while asking for what is there', [], async (stream, stranger, scene) => {
    // A buffer of ours that nobody empties: the window stays shut.
    for (let n = 0; n < 30; n++) {
      const greedy = n === 0 ? stream : await open(stranger, scene, 'blocks/1')
      greedy.pause()
      await say(
        greedy,
        encodeRequest({ kind: 'credit', bytes: 0xffffffff }),
        ...new Array<Uint8Array>(4).fill(encodeRequest({ kind: 'want', cids: new Array<string>(256).fill(scene.run) }))
      )
    }
  }),
  onBlocks('streams opened and reset, hundreds', [], async (_, stranger, scene) => {
    for (let n = 0; n < 200; n++) (await open(stranger, scene, 'blocks/1')).abort(new Error('reset'))
  }),
  onBlocks('hundreds of streams left open', ['too_many_streams'], async (_, stranger, scene) => {
    await Promise.allSettled(Array.from({ length: 300 }, () => open(stranger, scene, 'blocks/1')))
  }),
  // ---- admission
  {
    name: 'admission: a megabyte after each answer, and no end',
    codes: ['bad_message', 'message_too_large', 'too_many_streams'],
    act: async scene => {
      const stranger = await scene.stranger()
      await Promise.allSettled(
        Array.from({ length: 100 }, async () => {
          const stream = await open(stranger, scene, 'admission/1')
          await say(stream, random(60), new Uint8Array(1_000_000))
        })
      )
      return stranger
    }
  },
  // ---- sync
  onSync('a stream on which nothing is ever said', ['peer_stalled'], () => {}),
  onSync('half a frame and then silence', ['peer_stalled'], stream => send(stream, [200, 1, 0xa4, 0x61])),
  onSync('a byte a second', ['peer_stalled'], async stream => {
    for (let n = 0; n < 7 && stream.status === 'open'; n++) {
      send(stream, [n === 0 ? 100 : 0])
      await delay(1_000)
    }
  }),
  onSync('garbage', ['bad_message'], stream => say(stream, random(60))),
  onSync('another version', ['version_mismatch'], (stream, _, { run }) =>
    say(stream, dagCbor.encode({ v: 2, ask: 'head', run: parseCid(run) }))
  ),
  onSync('a chain of a huge limit', ['bad_message'], (stream, _, { run }) =>
    say(stream, dagCbor.encode({ v: 1, ask: 'chain', run: parseCid(run), fromRound: 0, limit: 2 ** 40 }))
  ),
  onSync('a request longer than one is', ['message_too_large'], stream => say(stream, new Uint8Array(60_000))),
  onSync('a flood of requests', ['rate_limited'], async (stream, stranger, scene) => {
    const streams = [stream, ...(await Promise.all(Array.from({ length: 5 }, () => open(stranger, scene, 'sync/1'))))]
    const request = encodeSyncRequest({ ask: 'chain', run: scene.run, fromRound: 0, limit: 1_024 })
    await Promise.all(streams.map(one => say(one, ...new Array<Uint8Array>(60).fill(request))))
  }),
  // ---- gossip
  onTopic('presence', 'garbage', ['bad_message'], async () => [random(200), new Uint8Array(0), Uint8Array.from([0xff])]),
  onTopic('presence', 'more runs than a node is in', ['bad_message'], async (_, { run }) => {
    const entry = { run: parseCid(run), head: null, round: 0, state: 'training', step: 0, holding: [] }
    return [
      dagCbor.encode({ v: 1, session: 1, seq: 1, timeMs: 1, leaving: false, version: '', agent: '', runs: new Array(40).fill(entry) })
    ]
  }),
  onTopic('presence', 'more than 64 KiB', ['message_too_large'], async () => [new Uint8Array(100_000)]),
  onTopic('presence', 'a clock ten years off', ['peer_joined'], async () => [encodePresence(presenceOf({ timeMs: Date.now() + 3e11 }))]),
  onTopic('presence', 'a flood', ['rate_limited'], async function* () {
    for (let seq = 1; seq <= 1_000; seq++) {
      yield encodePresence(presenceOf({ seq }))
      // A loop that never lets its own socket write would flood nobody.
      if (seq % 100 === 0) await delay(1)
    }
  }),
  {
    name: 'presence: a message that another has signed, changed',
    codes: ['bad_signature'],
    act: async scene => {
      const stranger = await scene.stranger({ gossips: true })
      const topic = topicOf('presence', scene)
      await stranger.hears(topic, scene.victim.peer)
      const [other] = [await scene.stranger({ gossips: true })]
      for (let n = 0; n < 3; n++) stranger.forge(scene.victim.peer, topic, encodePresence(presenceOf({ seq: n + 1 })), other.peer)
      return stranger
    }
  },
  {
    name: 'gossip: megabytes on a topic to which nobody listens',
    codes: ['rate_limited'],
    act: async scene => {
      const stranger = await scene.stranger({ gossips: true })
      const flooded = await scene.stranger({ gossips: 'floodsub' })
      flooded.gossip.subscribe('/nobody')
      await stranger.hears(topicOf('presence', scene), scene.victim.peer)
      for (let n = 0; n < 80; n++) await stranger.tell(scene.victim.peer, '/nobody', new Uint8Array(512 * 1024))
      return stranger
    }
  },
  onTopic('rounds', 'garbage', ['bad_message'], async () => [random(300), Uint8Array.from([3, 1]), Uint8Array.from([1])]),
  onTopic('rounds', 'a contribution whose signature is not its author’s', ['bad_signature'], async (stranger, { run }) => {
    const bytes = await contributionOf(stranger, run, {})
    bytes[bytes.length - 1]! ^= 1
    return [bytes]
  }),
  onTopic('rounds', 'a contribution of another run', ['wrong_run'], async stranger => [
    await contributionOf(stranger, cid(7, DAG_CBOR), {})
  ]),
  onTopic('rounds', 'contributions for rounds far ahead', ['too_far_ahead'], async (stranger, { run }) =>
    Promise.all(Array.from({ length: 20 }, (_, n) => contributionOf(stranger, run, { round: 900_000_000 + n, parent: cid(n, DAG_CBOR) })))
  ),
  onTopic('rounds', 'records of 1,024 contributions that nobody has', [], async (stranger, { run }) =>
    Promise.all(
      Array.from({ length: 6 }, async (_, page) => {
        const contributions = Array.from({ length: 1_024 }, (_, n) => cid(page * 1_024 + n, DAG_CBOR))
        const record = { run, round: 1, parent: run, contributions, anchor: cid(page, DAG_CBOR), closer: stranger.peer }
        return encodeRoundsMessage({ kind: 'record', block: (await signRecord(record, stranger.privateKey)).bytes })
      })
    )
  ),
  onTopic('rounds', 'that it holds thousands of contributions that nobody has', [], async () =>
    Array.from({ length: 10 }, (_, page) =>
      encodeRoundsMessage({ kind: 'holding', contributions: Array.from({ length: 512 }, (_, n) => cid(page * 512 + n, DAG_CBOR)) })
    )
  ),
  // ---- a member that lies when it is asked
  lyingMember(
    'wrong bytes for a head that it tells of',
    ['wrong_bytes', 'bad_message'],
    { head: cid(1, DAG_CBOR), round: 3 },
    answerFrames(asked => (asked[0] === 1 ? [blockAnswer(random(50))] : []))
  ),
  lyingMember(
    'blocks that nobody asked for',
    ['bad_message', 'wrong_bytes'],
    { head: cid(2, DAG_CBOR), round: 3 },
    answerFrames(() => [Buffer.concat([blockAnswer(random(50)), blockAnswer(random(60))])])
  ),
  lyingMember(
    'answers of a status that there is not',
    ['bad_message'],
    { head: cid(3, DAG_CBOR), round: 3 },
    answerFrames(() => [Uint8Array.from([77, 1, 2])])
  ),
  lyingMember(
    'silence when it is asked',
    ['peer_stalled', 'fetch_timeout', 'record_unavailable'],
    { head: cid(4, DAG_CBOR), round: 3 },
    () => {}
  ),
  lyingMember(
    'frames without end and without a block',
    ['peer_stalled', 'bad_message', 'wrong_bytes'],
    { head: cid(5, DAG_CBOR), round: 3 },
    answerFrames(() => [Uint8Array.from([0, 0, 16, 0, 0]), ...new Array<Uint8Array>(3).fill(new Uint8Array(1_000))])
  ),
  // ---- an author whose bodies are none
  lyingAuthor('a body that is no body', ['bad_body'], () => {
    const bytes = dagCbor.encode({ not: 'a body' })
    return { body: cidOf(bytes, DAG_CBOR), bytes }
  }),
  lyingAuthor('a body that is not what it is named for', ['wrong_bytes', 'fetch_timeout'], () => ({
    ...{ body: cid(6, DAG_CBOR), bytes: random(50) }
  })),
  lyingAuthor("the run's own manifest as a body", ['bad_body'], ({ run }) => ({ body: run, bytes: null })),
  // ---- the node itself
  {
    name: 'node: protocols of another version',
    codes: ['version_mismatch'],
    act: scene => scene.stranger({ speaks: ['blocks/2', 'sync/0'] })
  },
  {
    name: 'node: of another network',
    codes: ['other_network'],
    act: scene => scene.stranger({ network: 'elsewhere' })
  },
  {
    name: 'node: ten connections',
    codes: ['too_many_connections'],
    act: async scene => {
      const stranger = await scene.stranger()
      // One after the other: its own libp2p would make one of those that it is asked for at once.
      for (let n = 0; n < 10; n++) await stranger.dial(scene.victim.address).catch(() => {})
      return stranger
    }
  },
  {
    name: 'node: a peer that does not say what it is',
    codes: ['peer_stalled'],
    act: scene => scene.stranger({ answersStreams: 0 })
  },
  {
    name: 'node: a thousand sockets that say nothing',
    codes: [],
    act: async scene => {
      const stranger = await scene.stranger()
      const port = Number(/\/tcp\/(\d+)/.exec(scene.victim.address)![1])
      const sockets = Array.from({ length: 1_000 }, () => connect(port, '127.0.0.1').on('error', () => {}))
      await delay(500)
      for (const socket of sockets) socket.destroy()
      return stranger
    }
  },
  {
    name: 'node: garbage to the DHT',
    codes: [],
    act: async scene => {
      const stranger = await scene.stranger()
      for (let n = 0; n < 20; n++) {
        const stream = await open(stranger, scene, 'kad/1.0.0')
        send(stream, [40, ...random(40)])
      }
      return stranger
    }
  },
  {
    name: 'node: thousands of addresses to the DHT',
    codes: [],
    act: async scene => {
      const stranger = await scene.stranger()
      const key = parseCid(scene.run).multihash.bytes
      for (let page = 0; page < 50; page++) {
        // The largest that it reads, and one of a megabyte.
        const addresses = Array.from({ length: page === 0 ? 100_000 : 1_000 }, (_, n) => `/tcp/${((page * 1_000 + n) % 65_000) + 1}`)
        await say(await open(stranger, scene, 'kad/1.0.0'), addProvider(key, stranger.peer, addresses))
      }
      return stranger
    }
  }
]

/** "Here it is", whatever it is. */
function blockAnswer(bytes: Uint8Array): Uint8Array {
  const header = new Uint8Array(5)
  new DataView(header.buffer).setUint32(1, bytes.length)
  return Buffer.concat([header, bytes])
}

/** Brings a hostile node to the victim: each is a new connection from one address, and of these there may be so many a second only. */
export async function introduce(stranger: Stranger, { victim }: Pick<Scene, 'victim'>): Promise<void> {
  for (let left = 5; left > 0; left--) {
    const isIn = await stranger.dial(victim.address).then(
      () => true,
      () => false
    )
    if (isIn) return
    await delay(1_000)
  }
  throw new Error('the victim lets nobody in')
}
