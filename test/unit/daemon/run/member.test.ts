import assert from 'node:assert/strict'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Arithmetic } from '../../../../daemon/arithmetic/arithmetic.ts'
import type { EventLog } from '../../../../daemon/events.ts'
import { peerOf } from '../../../../daemon/identity.ts'
import { DEMO_SPEC, type Manifest, parseRunSpec, resolveManifest, type SigningKey } from '../../../../daemon/manifest.ts'
import { Admittance } from '../../../../daemon/run/admittance.ts'
import { STRANGERS_CHECKED_AT_ONCE } from '../../../../daemon/run/check-turns.ts'
import { type Exchange, Fetcher } from '../../../../daemon/run/fetching.ts'
import { Ledger } from '../../../../daemon/run/ledger.ts'
import { isWhereMostAre, keepsUp, type MemberComponents, RunMember } from '../../../../daemon/run/member.ts'
import type { Phases } from '../../../../daemon/run/phases.ts'
import { Retention } from '../../../../daemon/run/retention.ts'
import type { TrainerStart } from '../../../../daemon/trainer/messages.ts'
import { signGrant } from '../../../../protocols/admission/index.ts'
import { encodeBody } from '../../../../protocols/bodies/index.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import type { NodeEvent } from '../../../../protocols/control/messages.ts'
import { ProtocolError } from '../../../../protocols/errors.ts'
import { type Contribution, signContribution, signRecord } from '../../../../protocols/rounds/index.ts'
import { openStore, StorageError, type Store } from '../../../../storage/index.ts'
import { createCodec } from '../../../../training/compression/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const named = (text: string): string => cidOf(Buffer.from(text), DAG_CBOR)
const RUN = named('run')
const GENESIS = named('genesis')

describe('RunMember', () => {
  const home = temporaryHome()
  let store: Store
  let key: SigningKey
  let author: string
  let manifest: Manifest
  let member: RunMember | null
  beforeEach(async () => {
    store = await openStore(home())
    key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1))
    author = peerOf(key)
    const spec = parseRunSpec({ ...DEMO_SPEC, strategy: { ...DEMO_SPEC.strategy, quorum: 1 } })
    manifest = resolveManifest(spec, { author, tokenizer: { kind: 'bytes', vocabulary: 257, json: null }, anchor: GENESIS })
    member = null
  })
  afterEach(async () => {
    await member?.stop()
    await store.close()
  })

  /** A member beside whom there is nobody, but for what a test says. */
  async function open(more: Partial<MemberComponents> & { train?: boolean; exchange?: Exchange } = {}): Promise<RunMember> {
    const { train = false, exchange = { fetch: async cids => ({ missing: cids }) }, ...components } = more
    const self = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(2))
    member = await RunMember.open({
      ...{ run: RUN, self: peerOf(self), privateKey: self, manifest, directory: home(), stages: [], anchorBytes: 1_000 },
      membership: { train, paused: false },
      blocks: store.blocks,
      ledger: new Ledger(store, RUN),
      fetcher: new Fetcher(exchange, store.blocks),
      arithmetic: arithmeticOf({}),
      gossip: { publishContribution: async () => {}, publishHolding: async () => {}, publishRecord: async () => {} },
      events: { emit: () => {} } as unknown as EventLog, // all that is asked of it
      refused: () => {},
      phases: { enter: async () => {} } as unknown as Phases,
      trainerStart: () => ({ directory: home() }) as TrainerStart,
      livePeers: () => [],
      announce: () => {},
      syncHeads: async () => [],
      chain: async () => null,
      beginAnew: () => {},
      retention: new Retention(store.blocks, GENESIS),
      admittance: null,
      audits: null,
      ...components
    })
    return member
  }

  function arithmeticOf(calls: Partial<Arithmetic>): Arithmetic {
    return { anchorToSafetensors: async () => ({ bytes: 1 }), checkContribution: async () => null, ...calls } as Arithmetic
  }

  async function contributionOf(more: Partial<Contribution> = {}, signing = key) {
    const { optimizer, model, strategy } = manifest
    const { root: body, blocks } = encodeBody([{ name: 'stage', tensors: [{ name: 't', shape: [1], bytes: new Uint8Array(1) }] }])
    for (const { cid, bytes } of blocks) await store.blocks.put(cid, bytes)
    const contribution: Contribution = {
      ...{ run: RUN, round: 1, parent: RUN, peer: author, steps: 1, tokens: optimizer.batch * optimizer.accumulation * model.context },
      ...{ loss: 3, norm: 1, codec: createCodec(strategy.codec).name, body, ...more }
    }
    return { contribution, ...(await signContribution(contribution, signing)) }
  }

  it('goes on where nobody has the anchor of its head any more, and trains from the next', async () => {
    const starting = Promise.withResolvers<string>()
    const files: string[] = []
    const opened = await open({
      train: true,
      // Holders who say nothing: whoever waits for them waits for the whole time.
      exchange: {
        fetch: async (cids, _, { signal }) => {
          const here = await Promise.all(cids.map(cid => store.blocks.has(cid)))
          if (here.every(Boolean)) return { missing: [] }
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
        }
      },
      arithmetic: arithmeticOf({
        anchorToSafetensors: async ({ anchor }) => {
          if (anchor === GENESIS) throw new ProtocolError('block_missing', 'a block is not here')
          files.push(anchor)
          return { bytes: 1 }
        },
        nextAnchor: async () => ({ anchor: named('anchor 1') }) as Awaited<ReturnType<Arithmetic['nextAnchor']>>
      }),
      trainerStart: anchorFile => {
        starting.resolve(anchorFile)
        return { directory: home() } as TrainerStart
      }
    })
    assert.equal(opened.status().state, 'syncing')
    const { cid, bytes, contribution } = await contributionOf()
    opened.heardContribution(cid, bytes, contribution)
    const facts = { run: RUN, round: 1, parent: RUN, contributions: [cid], anchor: named('anchor 1'), closer: author }
    const record = await signRecord(facts, key)
    opened.heardRecord(record.cid, record.bytes, facts)
    assert.ok((await starting.promise).startsWith(home()))
    assert.equal(opened.head.round, 1)
    assert.deepEqual(files, [named('anchor 1')])
  })

  it('says why it does not train while nobody has the anchor of its head', async () => {
    const told = Promise.withResolvers<Partial<NodeEvent>>()
    const opened = await open({
      train: true,
      arithmetic: arithmeticOf({
        anchorToSafetensors: async () => {
          throw new ProtocolError('block_missing', 'a block is not here')
        }
      }),
      // All that is asked of it; that the quorum is not here is told, too.
      events: { emit: (event: Partial<NodeEvent>) => event.code === 'block_unavailable' && told.resolve(event) } as unknown as EventLog,
      trainerStart: () => assert.fail('there is nothing to begin from')
    })
    const { message } = await told.promise
    assert.match(message!, /^training waits for the anchor of round 0: Nobody reachable gave/)
    assert.equal(opened.status().reason, message)
  })

  it('syncs, and tells what holds it up, while its grant reaches too far ahead for its head', async () => {
    manifest = { ...manifest, admission: { invitation: { inviters: [author], grantRounds: 256 } } }
    const self = peerOf(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(2)))
    const { bytes } = await signGrant({ run: RUN, peer: self, inviter: author, untilRound: 692 }, key)
    const events = { emit: () => {} } as unknown as EventLog // all that is asked of it
    const admittance = await Admittance.open(
      {
        ...{ run: RUN, self, manifest, store, events },
        ask: async () => ({ is: 'granted', grant: bytes }),
        connect: async () => author,
        isConnected: () => true,
        isPresent: () => true
      },
      new AbortController().signal
    )
    const opened = await open({
      ...{ train: true, admittance },
      arithmetic: arithmeticOf({
        anchorToSafetensors: async () => {
          throw new ProtocolError('block_missing', 'a block is not here')
        }
      }),
      trainerStart: () => assert.fail('there is nothing to begin from')
    })
    const { state, reason } = opened.status()
    assert.deepEqual([state, reason], ['syncing', 'the trainer is starting'])
  })

  it('knows of an anchor that it computed, also where the record that names it finds no room', async () => {
    manifest = { ...manifest, strategy: { ...manifest.strategy, deadlineMs: 200, graceMs: 10 } }
    const put = store.blocks.put.bind(store.blocks)
    let isFull = false
    store.blocks.put = async (...block) => {
      if (isFull) throw new StorageError('disk_full', 'no room')
      await put(...block)
    }
    const retention = new Retention(store.blocks, GENESIS)
    const told = Promise.withResolvers<string>()
    const opened = await open({
      ...{ train: true, self: author, privateKey: key, retention },
      exchange: { fetch: async () => ({ missing: [] }) },
      arithmetic: arithmeticOf({
        // No trainer is needed: the contribution comes from elsewhere.
        anchorToSafetensors: async () => {
          throw new ProtocolError('block_missing', 'a block is not here')
        },
        nextAnchor: async () => {
          isFull = true
          return { anchor: named('anchor 1') } as Awaited<ReturnType<Arithmetic['nextAnchor']>>
        }
      }),
      events: { emit: ({ code, message }: NodeEvent) => code === 'disk_full' && told.resolve(message) } as unknown as EventLog // all that is asked of it
    })
    const { cid, bytes, contribution } = await contributionOf()
    opened.heardContribution(cid, bytes, contribution)
    assert.match(await told.promise, /^closing round 1: no room/)
    assert.ok(retention.roots.includes(named('anchor 1')))
  })

  it('checks an author’s contribution while those of a crowd wait, and then theirs', async () => {
    const ofAuthor = Promise.withResolvers<void>()
    const crowdIsIn = Promise.withResolvers<void>()
    const allHeld = Promise.withResolvers<void>()
    const checked: (boolean | undefined)[] = []
    const crowd = 3 * STRANGERS_CHECKED_AT_ONCE
    const opened = await open({
      exchange: { fetch: async () => ({ missing: [] }) },
      arithmetic: arithmeticOf({
        checkContribution: async ({ isStrangers }) => {
          checked.push(isStrangers)
          if (checked.length === STRANGERS_CHECKED_AT_ONCE) crowdIsIn.resolve()
          if (checked.length === crowd + 1) allHeld.resolve()
          if (isStrangers) await ofAuthor.promise
          else ofAuthor.resolve()
          return null
        }
      })
    })
    for (let i = 0; i < crowd; i++) {
      const stranger = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(10 + i))
      const { cid, bytes, contribution } = await contributionOf({ peer: peerOf(stranger) }, stranger)
      opened.heardContribution(cid, bytes, contribution)
    }
    await crowdIsIn.promise
    const { cid, bytes, contribution } = await contributionOf()
    opened.heardContribution(cid, bytes, contribution)
    await allHeld.promise
    assert.equal(checked.indexOf(false), STRANGERS_CHECKED_AT_ONCE)
  })

  it('writes nothing of another run that somebody names, which may live on it, and does not blame its author', async () => {
    const { cid, bytes } = await contributionOf({ run: named('other'), parent: named('other') })
    const refused = Promise.withResolvers<Partial<NodeEvent>>()
    const opened = await open({
      exchange: {
        fetch: async (cids, _, { put }) => {
          for (const wanted of cids) if (wanted === cid) await put?.(wanted, bytes)
          return { missing: cids.filter(wanted => wanted !== cid) }
        }
      },
      refused: event => refused.resolve(event)
    })
    opened.heardHolding(author, [cid])
    const { code, peer, data } = await refused.promise
    assert.deepEqual([code, peer, data], ['wrong_run', undefined, { subject: cid }])
    assert.equal(await store.blocks.has(cid), false)
  })

  it('tells of all whom screening cut in a round by one event, when the round is adopted', async () => {
    const told: Partial<NodeEvent>[] = []
    const isTold = Promise.withResolvers<void>()
    const opened = await open({
      exchange: { fetch: async () => ({ missing: [] }) },
      arithmetic: arithmeticOf({
        nextAnchor: async () => ({ anchor: named('anchor 1') }) as Awaited<ReturnType<Arithmetic['nextAnchor']>>
      }),
      events: {
        emit: (event: Partial<NodeEvent>) => {
          if (event.type === 'round' || event.code === 'norm_cut') told.push(event)
          if (told.length === 2) isTold.resolve()
        }
      } as unknown as EventLog // all that is asked of it
    })
    const normFactor = manifest.strategy.screening!.normFactor
    const parts = await Promise.all(
      [1, 1, 1, 2 * normFactor, 4 * normFactor].map(async (norm, i) => {
        const signing = i === 0 ? key : await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(10 + i))
        return contributionOf({ norm, peer: peerOf(signing) }, signing)
      })
    )
    for (const { cid, bytes, contribution } of parts) opened.heardContribution(cid, bytes, contribution)
    const inOrder = parts.toSorted((a, b) => (a.contribution.peer < b.contribution.peer ? -1 : 1))
    const facts = {
      run: RUN,
      round: 1,
      parent: RUN,
      contributions: inOrder.map(({ cid }) => cid),
      anchor: named('anchor 1'),
      closer: author
    }
    const record = await signRecord(facts, key)
    opened.heardRecord(record.cid, record.bytes, facts)
    await isTold.promise
    const cut = inOrder
      .filter(({ contribution }) => contribution.norm > 1)
      .map(({ cid, contribution: { peer, norm } }) => ({ cid, peer, scale: normFactor / norm }))
    assert.deepEqual(
      told.map(({ type, code }) => code ?? type),
      ['round', 'norm_cut']
    )
    assert.deepEqual(told[1]!.data, { record: record.cid, cut })
    assert.match(told[1]!.message!, /^2 of 5 changes were larger by far than most and counted in part: that of 12D/)
  })

  it('tells once of a contribution that was refused, however often it is said, and passes it on once', async () => {
    const seen: unknown[] = []
    let told = Promise.withResolvers<void>()
    const opened = await open({
      refused: ({ code, data }) => {
        seen.push([code, data?.subject])
        told.resolve()
      }
    })
    const lies = [await contributionOf({ tokens: 1 }), await contributionOf({ tokens: 2 })]
    for (const { cid, bytes, contribution } of lies) {
      told = Promise.withResolvers()
      assert.equal(opened.heardContribution(cid, bytes, contribution), true)
      await told.promise
      for (let again = 0; again < 3; again++) assert.equal(opened.heardContribution(cid, bytes, contribution), false)
    }
    assert.deepEqual(
      seen,
      lies.map(({ cid }) => ['tokens_mismatch', cid])
    )
  })

  it('passes on what is said of the open round, and nothing of those before it', async () => {
    const at = [0, 1, 2].map(() => Promise.withResolvers<void>())
    const { contribution: anyOne } = await contributionOf()
    // Of a round whose body is an anchor as well: nothing has to be fetched.
    const anchor = anyOne.body
    const opened = await open({
      exchange: { fetch: async () => ({ missing: [] }) },
      arithmetic: arithmeticOf({ nextAnchor: async () => ({ anchor }) as Awaited<ReturnType<Arithmetic['nextAnchor']>> }),
      announce: ({ round }) => at[round]?.resolve()
    })
    const said: (() => [contribution: boolean, record: boolean, holding: boolean])[] = []
    let parent = RUN
    for (const round of [1, 2]) {
      const { cid, bytes, contribution } = await contributionOf({ round, parent })
      const facts = { run: RUN, round, parent, contributions: [cid], anchor, closer: author }
      const record = await signRecord(facts, key)
      said.push(() => [
        opened.heardContribution(cid, bytes, contribution),
        opened.heardRecord(record.cid, record.bytes, facts),
        opened.heardHolding(author, [cid])
      ])
      assert.deepEqual(said.at(-1)!().slice(0, 2), [true, true])
      await at[round]!.promise
      parent = record.cid
    }
    assert.equal(opened.head.round, 2)
    assert.deepEqual(said[0]!(), [false, false, false])
    assert.deepEqual(said[1]!(), [true, false, true], 'who is a round behind needs it')
  })

  it('tells its rules that a peer is gone only where it was here', async () => {
    let told = 0
    const opened = await open({
      announce: () => {
        told++
      }
    })
    const toldBy = (act: () => void): number => {
      const before = told
      act()
      return told - before
    }
    assert.equal(
      toldBy(() => opened.peerGone(author)),
      0
    )
    opened.peerLive(author, { head: RUN, round: 0, trains: true, holding: [] })
    assert.equal(
      toldBy(() => opened.peerGone(author)),
      1
    )
    assert.equal(
      toldBy(() => opened.peerGone(author)),
      0
    )
  })

  it('tells after a restart what became of its contribution, where it was killed before it had', () => isToldAfterRestart())

  it('tells the same where the block of its contribution is damaged since', () => isToldAfterRestart(cid => store.blocks.delete(cid)))

  async function isToldAfterRestart(meanwhile: (cid: string) => Promise<unknown> = async () => {}) {
    manifest = { ...manifest, strategy: { ...manifest.strategy, deadlineMs: 200, graceMs: 10 } }
    const { cid, bytes, contribution } = await contributionOf()
    await store.blocks.put(cid, bytes)
    const { body, loss, parent, round, steps, tokens } = contribution
    await new Ledger(store, RUN).putOwn({ sequence: 1, ...{ body, cid, loss, parent, round, steps, tokens }, fate: 'offered' })
    const killed = new Ledger(store, RUN)
    const isAdopted = Promise.withResolvers<void>()
    let failures = 0
    killed.putOwn = async () => {
      if (++failures === 2) isAdopted.resolve()
      throw new StorageError('disk_full', 'this life has no room to say it')
    }
    const arithmetic = arithmeticOf({
      // No trainer is needed: what it made is here.
      anchorToSafetensors: async () => {
        throw new ProtocolError('block_missing', 'a block is not here')
      },
      nextAnchor: async () => ({ anchor: named('anchor 1') }) as Awaited<ReturnType<Arithmetic['nextAnchor']>>
    })
    const itself = { train: true, self: author, privateKey: key, arithmetic, exchange: { fetch: async () => ({ missing: [] }) } }
    const noRoom: unknown[] = []
    const roomless = { emit: ({ code }: Partial<NodeEvent>) => code === 'disk_full' && noRoom.push(code) } as unknown as EventLog // all that is asked of it
    const first = await open({ ...itself, ledger: killed, events: roomless })
    await isAdopted.promise
    await first.stop()
    assert.equal(noRoom.length, 1, 'what fails again and again is told once')
    await meanwhile(cid)
    const told: Partial<NodeEvent>[] = []
    const events = { emit: (event: Partial<NodeEvent>) => event.data?.subject === cid && told.push(event) } as unknown as EventLog // all that is asked of it
    const second = await open({ ...itself, events })
    const { lastContribution } = second.status()
    await second.stop()
    await open({ ...itself, events })
    assert.deepEqual(
      told.map(({ code }) => code),
      ['contribution_included'],
      'once'
    )
    assert.deepEqual(lastContribution, { round: 1, cid, result: 'included', taken: { tokens, age: 0 } })
  }

  it('goes on with nothing where it could not be opened', async () => {
    const ledger = new Ledger(store, RUN)
    const row = { round: 1, parent: RUN, steps: 1, tokens: 1, loss: 3, body: null }
    for (const [sequence, fate] of [
      [1, 'offered'],
      [2, 'lost']
    ] as const) {
      const { cid, bytes } = await contributionOf({ loss: sequence })
      await store.blocks.put(cid, bytes)
      await ledger.putOwn({ ...row, sequence, cid, fate })
    }
    // The first is told to the rules, which ask at once for the others' heads; what became of the second cannot be kept.
    ledger.putOwn = async () => {
      throw new StorageError('disk_full', 'no room')
    }
    const asked: AbortSignal[] = []
    const opening = open({
      ledger,
      syncHeads: async signal => {
        asked.push(signal)
        return []
      }
    })
    await assert.rejects(opening, { code: 'disk_full' })
    assert.deepEqual(
      asked.map(({ aborted }) => aborted),
      [true]
    )
  })
})

describe('keepsUp()', () => {
  it('holds for a trainer that adopts the next record, not for one that has to catch up or is on a record that nobody knows', () => {
    assert.deepEqual([keepsUp(7, 7), keepsUp(6, 7), keepsUp(5, 7), keepsUp(null, 7)], [true, true, false, false])
    assert.equal(keepsUp(7, 6), true, 'a fork may lead back')
  })
})

describe('isWhereMostAre()', () => {
  it('holds where at least half of the live authors are near, and not for who knows none', () => {
    assert.deepEqual([isWhereMostAre([7, 900], 7), isWhereMostAre([263], 7), isWhereMostAre([7, 6, 900], 7)], [true, true, true])
    assert.deepEqual([isWhereMostAre([], 7), isWhereMostAre([264], 7), isWhereMostAre([7, 900, 900], 7)], [false, false, false])
  })
})
