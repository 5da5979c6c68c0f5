// Every setting of a daemon, once: its type, default, reason and check.
import { isAddress } from './node-addresses.ts'
import { parseRate, parseSize } from './quantities.ts'

/** Answers the value meant, or undefined where the input is not allowed. Text comes from flags and the environment, values from the file. */
type Read<T> = (input: unknown) => T | undefined

export interface Setting<T> {
  read: Read<T>
  /** What is allowed, in the words an error uses. */
  allowed: string
  default: T
  /** Defaults that a profile changes. */
  profile?: { test: T }
  /** What it is for, and why the default is what it is. */
  reason: string
  /** The daemon's flag, without dashes; null where there is none. */
  flag: string | null
}

const setting = <T>(facts: Setting<T>): Setting<T> => facts

const text =
  (pattern: RegExp): Read<string> =>
  input =>
    typeof input === 'string' && pattern.test(input) ? input : undefined
const choice =
  <const T extends string>(...names: T[]): Read<T> =>
  input =>
    names.find(name => name === input)
const boolean: Read<boolean> = input =>
  typeof input === 'boolean'
    ? input
    : ['true', '1', 'yes', 'on'].includes(String(input))
      ? true
      : ['false', '0', 'no', 'off'].includes(String(input))
        ? false
        : undefined
const integer =
  (min: number, max: number): Read<number> =>
  input => {
    const value = typeof input === 'string' && /^-?\d{1,16}$/.test(input.trim()) ? Number(input) : input
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined
  }
const fraction: Read<number> = input => {
  const value = typeof input === 'string' && /^\d(\.\d{1,15})?$/.test(input.trim()) ? Number(input) : input
  return typeof value === 'number' && value >= 0 && value <= 1 ? value : undefined
}
const size =
  (min: number, max: number): Read<number> =>
  input => {
    const value = typeof input === 'string' ? parseSize(input) : input
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined
  }
/** Bytes a second. */
const rate =
  (min: number, max: number): Read<number> =>
  input => {
    const value = typeof input === 'string' ? parseRate(input) : input
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined
  }
/** Texts separated by commas or white space, or a list; at most 256 of at most 4096 characters. */
const list =
  (item: Read<string>): Read<string[]> =>
  input => {
    const parts = typeof input === 'string' ? input.split(/[\s,]+/).filter(part => part !== '') : input
    if (!Array.isArray(parts) || parts.length > 256) return undefined
    const read = parts.map(item)
    return read.some(part => part === undefined) ? undefined : (read as string[])
  }
/** Paths may hold commas and blanks, so a text is one path. */
const paths: Read<string[]> = input => list(text(/^[^\0]{1,4096}$/))(typeof input === 'string' ? [input] : input)
const orNull =
  <T>(read: Read<T>): Read<T | null> =>
  input =>
    input === null || input === '' ? null : read(input)

const address =
  (pattern: RegExp): Read<string> =>
  input => {
    const read = text(pattern)(input)
    return read !== undefined && isAddress(read) ? read : undefined
  }
const listenable = address(/^\/(ip4|ip6)\/[^\s/]{1,255}\/tcp\/\d{1,5}$/)
const multiaddr = address(/^\/(ip4|ip6|dns|dns4|dns6)\/[^\s/]{1,255}\/tcp\/\d{1,5}(\/p2p\/[^\s/]{1,128})?$/)
const dialable = address(/^\/(ip4|ip6|dns|dns4|dns6)\/[^\s/]{1,255}\/tcp\/\d{1,5}\/p2p\/[^\s/]{1,128}$/)
const runId = text(/^b[a-z2-7]{58}$/)

/** Where a node listens for peers and where its API listens unless told otherwise; a free port is taken where these are in use. */
export const DEFAULT_PORTS = { peers: 4101, api: 4180 } as const

export const SETTINGS = {
  network: setting({
    read: text(/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/),
    allowed: '1 to 32 lower-case letters, digits or dashes, no dash at an end',
    default: 'shoal',
    reason: 'Names the mesh: part of the names of DHT, gossip and mDNS, so that meshes never mix.',
    flag: 'network'
  }),
  profile: setting<'lan' | 'test'>({
    read: choice('lan', 'test'),
    allowed: 'lan or test',
    default: 'lan',
    reason:
      'lan: listen on all interfaces, find peers by mDNS. test: loopback and free ports only, no mDNS, for many nodes on one machine.',
    flag: 'profile'
  }),
  listen: setting({
    read: list(listenable),
    allowed: 'multiaddrs of this machine such as /ip4/0.0.0.0/tcp/4101',
    default: [`/ip4/0.0.0.0/tcp/${DEFAULT_PORTS.peers}`],
    profile: { test: ['/ip4/127.0.0.1/tcp/0'] },
    reason:
      'Where peers reach this node: all interfaces, so that a LAN works at once. Where the default port is taken, a free one is used and said.',
    flag: 'listen'
  }),
  announce: setting({
    read: list(multiaddr),
    allowed: 'multiaddrs such as /dns4/example.org/tcp/4101',
    default: [],
    reason: 'Addresses told to peers instead of those listened on, for forwarded ports.',
    flag: 'announce'
  }),
  bootstrap: setting({
    read: list(dialable),
    allowed: 'multiaddrs that end in /p2p/PEER, a whole peer id such as 12D3KooW...',
    default: [],
    reason: 'Nodes dialled at the start and again for as long as needed.',
    flag: 'bootstrap'
  }),
  mdns: setting({
    read: boolean,
    allowed: 'true or false',
    default: true,
    profile: { test: false },
    reason: 'Finds nodes of the same network on the LAN without any address. Off for test meshes, which must not meet others.',
    flag: 'no-mdns'
  }),
  apiPort: setting({
    read: integer(0, 65_535),
    allowed: 'a port from 0 (any free one) to 65535',
    default: DEFAULT_PORTS.api as number,
    profile: { test: 0 },
    reason: 'The control API listens on 127.0.0.1 at this port. Where the default one is taken, a free one is used and said.',
    flag: 'api-port'
  }),
  bootstrapOnly: setting({
    read: boolean,
    allowed: 'true or false',
    default: false,
    reason: 'Only help others find one another: join no run, train nothing.',
    flag: 'bootstrap-only'
  }),
  run: setting({
    read: list(runId),
    allowed: 'run ids (CIDs)',
    default: [],
    reason: 'Runs to join at the start.',
    flag: 'run'
  }),
  data: setting({
    read: paths,
    allowed: 'paths of text, JSONL or folders, or sotu:ERA',
    default: [],
    reason: 'Corpora for the runs joined at the start, where their data is private; a relative path in the file is one from the home on.',
    flag: 'data'
  }),
  engine: setting({
    read: choice('auto', 'traced', 'webgpu', 'tfjs-node-gpu', 'tfjs-node', 'wasm', 'js'),
    allowed: 'one of auto, traced, webgpu, tfjs-node-gpu, tfjs-node, wasm, js',
    default: 'auto',
    reason: 'What computes; auto takes the fastest that works here, by measuring where that could be several.',
    flag: 'engine'
  }),
  threads: setting({
    read: integer(0, 1024),
    allowed: 'an integer from 0 (as many as the machine has) to 1024',
    default: 0,
    reason: 'Threads of the trainer. Several nodes on one machine should share the cores among them.',
    flag: 'threads'
  }),
  audit: setting({
    read: fraction,
    allowed: 'a number from 0 to 1',
    default: 0,
    reason:
      "Of others' contributions this node evaluates so many for itself, with one core that nobody else wants; those of peers on probation in any case. 0: none.",
    flag: 'audit'
  }),
  maxUpload: setting<number | null>({
    read: orNull(rate(16_000, 2 ** 40)),
    allowed: 'a rate from 16kB/s, such as 1MB/s',
    default: null,
    reason:
      'Bytes a second that this node sends at most, all together; facts go at once and blocks wait. Below 16 kB/s the facts of a mesh of some ten nodes would leave nothing for blocks.',
    flag: 'max-upload'
  }),
  logLevel: setting({
    read: choice('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    allowed: 'one of trace, debug, info, warn, error, fatal, silent',
    default: 'info',
    reason: 'What is written to stderr and HOME/logs.',
    flag: 'log-level'
  }),
  logMaxBytes: setting({
    read: size(64 * 1024, 2 ** 40),
    allowed: 'a size from 64KiB',
    default: 10 * 2 ** 20,
    reason: 'A log file is rotated at this size: 10 MiB hold about 60,000 lines.',
    flag: null
  }),
  logFiles: setting({
    read: integer(1, 1000),
    allowed: 'an integer from 1 to 1000',
    default: 4,
    reason: 'Log files kept, the newest among them.',
    flag: null
  }),
  eventsKept: setting({
    read: integer(100, 10_000_000),
    allowed: 'an integer from 100 to 10000000',
    default: 20_000,
    reason: 'Events kept on disk, and as many reasons for `why`: about 10 MB.',
    flag: null
  }),
  diskFloor: setting({
    read: size(0, 2 ** 50),
    allowed: 'a size such as 256MiB',
    default: 256 * 2 ** 20,
    profile: { test: 16 * 2 ** 20 },
    reason: "Training pauses while the home's disk has less free space than this: a full disk loses more than a round.",
    flag: null
  }),
  clockOffsetMs: setting({
    read: integer(-(10 ** 12), 10 ** 12),
    allowed: 'milliseconds from -10^12 to 10^12',
    default: 0,
    reason: 'Shifts the wall clock that this node tells its peers; for tests of wrong clocks.',
    flag: null
  }),
  holdPhase: setting<string | null>({
    read: orNull(text(/^[a-z-]{1,32}@\d{1,9}(:closer)?$/)),
    allowed: 'PHASE@ROUND such as closing@3, or PHASE@ROUND:closer',
    default: null,
    reason:
      'Stays in this phase for ever, the first time it comes to it from this round on; with :closer only in this round, and only as the first in rank to close it. For tests that kill a node there.',
    flag: null
  })
}
