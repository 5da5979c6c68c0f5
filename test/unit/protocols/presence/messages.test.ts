import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { cidOf, DAG_CBOR, parseCid } from '../../../../protocols/cids.ts'
import { decodePresence, encodePresence, type Presence } from '../../../../protocols/presence/messages.ts'

const cid = cidOf(new Uint8Array([1]), DAG_CBOR)
const presence: Presence = {
  session: 7,
  seq: 3,
  timeMs: 1_700_000_000_000,
  leaving: false,
  version: '0.1.0',
  agent: 'shoal',
  runs: [{ run: cid, head: null, round: 4, state: 'training', step: 200, holding: [cid] }]
}

describe('a presence message', () => {
  it('keeps its bytes', () => {
    assert.equal(
      createHash('sha256').update(encodePresence(presence)).digest('hex'),
      '7a692ec8cd51ab5c2b39150b0dc65ee775a194721f7248118ceb7b37d9d118a5'
    )
  })

  it('reads back as it was written', () => {
    assert.deepEqual(decodePresence(encodePresence(presence)), presence)
    const more = { ...presence, leaving: true, runs: [{ ...presence.runs[0]!, head: cid, holding: [] }] }
    assert.deepEqual(decodePresence(encodePresence(more)), more)
  })

  it('is refused when a field lies', () => {
    const run = { run: parseCid(cid), head: null, round: 1, state: 'training', step: 1, holding: [] }
    const good = { v: 1, session: 1, seq: 1, timeMs: 1, leaving: false, version: '', agent: '', runs: [run] }
    decodePresence(dagCbor.encode(good))
    const bad: Record<string, unknown>[] = [
      { v: 'one' },
      { session: -1 },
      { seq: 1.5 },
      { timeMs: 'now' },
      { leaving: 0 },
      { version: 'x'.repeat(65) },
      { agent: null },
      { agent: 'shoal\n12D3KooWForged' },
      { version: 'caf\u00e9' },
      { runs: {} },
      { runs: Array(33).fill(run) },
      { runs: [{ ...run, run: cid }] },
      { runs: [{ ...run, round: -1 }] },
      { runs: [{ ...run, state: '\u001b[2Jtraining' }] },
      { runs: [{ ...run, holding: Array(129).fill(parseCid(cid)) }] }
    ]
    for (const change of bad) {
      assert.throws(
        () => decodePresence(dagCbor.encode({ ...good, ...change })),
        { code: 'bad_message' },
        JSON.stringify(Object.keys(change))
      )
    }
    assert.throws(() => decodePresence(new Uint8Array(100_000)), { code: 'message_too_large' })
  })

  it('decodes anything to a presence or a bad_message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        try {
          decodePresence(bytes)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'bad_message')
        }
      })
    )
  })
})
