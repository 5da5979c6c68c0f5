import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { DaemonError } from '../../../../daemon/errors.ts'
import { peerOf } from '../../../../daemon/identity.ts'
import { CatchUp, wayFrom } from '../../../../daemon/run/catch-up.ts'
import type { Head, KeptRound, OwnContribution } from '../../../../daemon/run/ledger.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { ProtocolError } from '../../../../protocols/errors.ts'
import { signRecord } from '../../../../protocols/rounds/index.ts'
import { StorageError } from '../../../../storage/index.ts'

const ANCHORS: { [record: string]: number } = { P: 100, A: 110, B: 120 }
const headAt = (record: string): Head => ({ record, round: record === 'P' ? 1 : 2, anchor: record })
const rowOf = (sequence: number, more: Partial<OwnContribution> = {}): OwnContribution => ({
  ...{ sequence, round: 2, parent: 'P', steps: 1, tokens: 1, loss: 1, cid: `c${sequence}`, body: null, fate: 'lost', ...more }
})

/** A model of one number on P, with 3 learned there, and a head that moves from P to A, and from either to B, which parted from A after P. */
class Node {
  head = headAt('P')
  local = 103
  base = 100
  readonly calls: string[] = []
  readonly ended: string[] = []
  /** Those whose whole change is in the parameters. */
  readonly kept: number[] = []
  readonly failures: string[] = []
  /** What happens while something is awaited. */
  during: { [what: string]: () => void } = {}
  settled = Promise.resolve()
  open: OwnContribution[] = []
  readonly catchUp: CatchUp

  constructor() {
    this.catchUp = new CatchUp({
      trainer: {
        ready: true,
        adopt: async (file, record, mode) => {
          this.calls.push(`${mode} ${record}`)
          this.#happen(`adopt ${record}`)
          const anchor = Number(file)
          if (mode === 'shift') this.local += anchor - this.base
          else if (mode === 'leave') this.local = anchor
          this.base = anchor
        },
        restore: async sequence => {
          this.calls.push(`restore ${sequence}`)
          this.#happen(`restore ${sequence}`)
        }
      },
      own: {
        unsettled: async () => this.open,
        sentFile: async () => 'file',
        mark: async (own, fate) => this.#mark(own, fate),
        forgetFiles: async () => {}
      },
      head: () => this.head,
      wayFrom: async record => (record !== 'A' || this.head.record !== 'B' ? 'shift' : 'keep'),
      settled: () => this.settled,
      anchorFile: async ({ record }) => {
        this.#happen(`file ${record}`)
        return String(ANCHORS[record])
      },
      onAdopting: async () => {},
      onAdopted: () => {},
      onEnd: ({ sequence }, fate, isGone) => this.ended.push(`${fate}${isGone ? ' as gone' : ''} ${sequence}`),
      failed: (_, error) => this.failures.push((error as { code: string }).code)
    })
    this.catchUp.trainerReady('P')
  }

  /** What the next contribution will say was learned. */
  get learned(): number {
    return this.local - this.base
  }

  #mark(own: OwnContribution, fate: OwnContribution['fate']): OwnContribution {
    if (fate === 'lost') this.calls.push(`lost ${own.sequence}`)
    if (own.isKept === true) this.kept.push(own.sequence)
    return own
  }

  #happen(what: string): void {
    const happens = this.during[what]
    delete this.during[what]
    happens?.()
  }
}

describe('CatchUp', () => {
  for (const instant of ['adopt A', 'file A'])
    it(`keeps what was learned on a branch that is left at "${instant}"`, async () => {
      const node = new Node()
      node.head = headAt('A')
      node.during = {
        [instant]: () => {
          node.head = headAt('B')
        }
      }
      await node.catchUp.toHead()
      assert.deepEqual(node.calls, ['shift A', 'keep B'])
      assert.equal(node.local, 113, 'A with what was learned before')
      assert.equal(node.learned, -7)
    })

  it('shifts a trainer onto another branch that was never on the one that is left', async () => {
    const node = new Node()
    node.head = headAt('B')
    await node.catchUp.toHead()
    assert.deepEqual([node.calls, node.learned], [['shift B'], 3], 'the next contribution takes nothing back of what B brought')
  })

  it('keeps also after an adoption that failed, and after a restart', async () => {
    const node = new Node()
    node.catchUp.trainerReady('A')
    node.head = headAt('B')
    node.during = {
      'adopt B': () => {
        throw new DaemonError('disk_full', 'no room')
      }
    }
    await assert.rejects(node.catchUp.toHead(), { code: 'disk_full' })
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['keep B', 'keep B'])
  })

  it('drops what is in the local model that is kept, once that is known, and puts back the rest', async () => {
    const node = new Node()
    node.catchUp.trainerReady('A')
    node.catchUp.lost(rowOf(1))
    node.head = headAt('B')
    const setAside = rowOf(2, { isSetAside: true })
    node.settled = Promise.resolve().then(() => {
      node.catchUp.lost(setAside)
      node.open = [rowOf(1), setAside, rowOf(3, { isSetAside: true, fate: 'late' }), rowOf(4, { parent: 'A', fate: 'offered' })]
    })
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['keep B', 'restore 1'])
    assert.deepEqual(node.ended, ['dropped 2', 'dropped 3', 'dropped 4', 'restored 1'])
    assert.deepEqual(node.kept, [4], 'of those that a record took the local model never had what was not sent')
  })

  it('puts back what a fork lost where the local model was shifted', async () => {
    const node = new Node()
    node.catchUp.lost(rowOf(2, { isSetAside: true }))
    node.head = headAt('B')
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['shift B', 'restore 2'])
  })

  it('puts back nothing that a fork led back to', async () => {
    const node = new Node()
    node.catchUp.lost(rowOf(1))
    node.catchUp.found('c1')
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, [])
  })

  it('moves onto a head that came while something was put back before it puts back the next', async () => {
    const node = new Node()
    node.catchUp.lost(rowOf(1))
    node.catchUp.lost(rowOf(2))
    node.during = {
      'restore 1': () => {
        node.head = headAt('A')
      }
    }
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['restore 1', 'shift A', 'restore 2'])
  })

  const lost = [
    new ProtocolError('block_missing', 'gone'),
    new StorageError('file_missing', 'gone'),
    new StorageError('safetensors_header', 'damaged'),
    new DaemonError('non_finite_delta', 'no number')
  ]
  for (const error of lost)
    it(`gives up what the disk has lost (${error.code}), tells why, and goes on with the next`, async () => {
      const node = new Node()
      node.catchUp.lost(rowOf(1))
      node.catchUp.lost(rowOf(2))
      node.during = {
        'restore 1': () => {
          throw error
        }
      }
      await node.catchUp.toHead()
      assert.deepEqual([node.failures, node.ended], [[error.code], ['dropped as gone 1', 'restored 2']])
    })

  it('brings a trainer that has diverged back to the anchor, again and again until it is there, and drops what nobody would take', async () => {
    const node = new Node()
    // Its snapshot was taken, and it learned 2 more there.
    node.base = 1_000_000
    node.local = 1_000_002
    node.catchUp.diverged(rowOf(1, { fate: 'made', cid: null }))
    node.during = {
      'adopt P': () => {
        throw new DaemonError('disk_full', 'no room')
      }
    }
    await assert.rejects(node.catchUp.toHead(), { code: 'disk_full' })
    assert.deepEqual([node.catchUp.isAstray, node.ended], [true, []])
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['leave P', 'leave P'])
    assert.deepEqual([node.local, node.learned], [100, 0], 'what it learned there is left behind as well')
    assert.deepEqual([node.catchUp.isAstray, node.ended], [false, ['dropped as gone 1']])
  })

  it('leaves also for an anchor that is far, and puts back what nobody took of before', async () => {
    const node = new Node()
    node.catchUp.trainerReady('A')
    node.head = headAt('B')
    const diverged = rowOf(3, { fate: 'made', cid: null, parent: 'A' })
    node.open = [rowOf(1, { isSetAside: true }), diverged]
    node.catchUp.lost(node.open[0]!)
    node.catchUp.diverged(diverged)
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['leave B', 'restore 1'])
    assert.deepEqual([node.local, node.ended], [120, ['dropped as gone 3', 'restored 1']])
  })

  it('leaves for the anchor where what was made just before a crash turns out to be too large to be put back', async () => {
    const node = new Node()
    node.catchUp.lost(rowOf(1, { fate: 'made', cid: null }))
    node.during = {
      'restore 1': () => {
        throw new DaemonError('norm_too_large', 'too large')
      }
    }
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['lost 1', 'restore 1', 'leave P'])
    assert.deepEqual([node.failures, node.local, node.ended], [['norm_too_large'], 100, ['dropped as gone 1']])
  })

  it('keeps that one is lost before the trainer has it back: after a crash in between it is not offered as well', async () => {
    const node = new Node()
    node.catchUp.lost(rowOf(1, { fate: 'made', cid: null }))
    await node.catchUp.toHead()
    assert.deepEqual(node.calls, ['lost 1', 'restore 1'])
  })

  it('tries again what failed for another reason', async () => {
    const node = new Node()
    node.catchUp.lost(rowOf(1))
    node.during = {
      'restore 1': () => {
        throw new DaemonError('trainer_gone', 'died')
      }
    }
    await assert.rejects(node.catchUp.toHead(), { code: 'trainer_gone' })
    await node.catchUp.toHead()
    assert.deepEqual(node.ended, ['restored 1'])
  })
})

describe('wayFrom()', () => {
  it('shifts along our chain, also from what the disk lost of it or has not heard of yet, and from one round off it, keeps what parted before, and leaves what nobody knows', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const run = cidOf(new Uint8Array([7]), DAG_CBOR)
    const stored = new Map<string, Uint8Array>()
    const record = async (branch: number, round = 1, parent = run): Promise<string> => {
      const anchor = cidOf(new Uint8Array([branch]), DAG_CBOR)
      const facts = { run, round, parent, contributions: [cidOf(new Uint8Array([branch, 1]), DAG_CBOR)], anchor }
      const { cid, bytes } = await signRecord({ ...facts, closer: peerOf(privateKey) }, privateKey)
      stored.set(cid, bytes)
      return cid
    }
    const [ours, left] = [await record(1), await record(2)]
    const [next, leftNext] = [await record(3, 2, ours), await record(4, 2, left)]
    const way = (cid: string, adopted: string[], head = adopted.at(-1) ?? run) =>
      wayFrom(cid, {
        ...{ run, head, adopted: new Set(adopted), blocks: { get: async (at: string) => stored.get(at) } },
        ledger: {
          round: async round => (adopted.length === 0 && cid !== next ? undefined : ({ record: [ours, next][round - 1] } as KeptRound))
        } // all that is read of it
      })
    assert.deepEqual([await way(run, []), await way(ours, [ours]), await way(next, [])], ['shift', 'shift', 'shift'])
    assert.equal(await way(left, [ours, next]), 'shift')
    assert.equal(await way(leftNext, [ours, next]), 'keep')
    assert.equal(await way(leftNext, []), 'shift', 'ahead of a head that is the genesis, where the records were moved away')
    stored.delete(left)
    assert.equal(await way(leftNext, [ours, next]), 'leave', 'nobody knows where it parted')
    assert.equal(await way(cidOf(new Uint8Array([9]), DAG_CBOR), [ours]), 'leave', 'nobody knows it')
  })
})
