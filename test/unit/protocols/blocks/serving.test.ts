import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { AnswerDecoder, encodeRequest } from '../../../../protocols/blocks/messages.ts'
import { type Pace, serveBlocks } from '../../../../protocols/blocks/serving.ts'
import type { FrameStream } from '../../../../protocols/frame-stream.ts'
import { Purses } from '../../../../protocols/purses.ts'
import { madeBlocks } from '../../../contracts/block-exchange.ts'
import { framePair } from '../../../contracts/memory-network.ts'

const IDLE_MS = 200
const FRAME_BYTES = 1000
const CREDIT = encodeRequest({ kind: 'credit', bytes: 1_000_000 })

/** Lets a frame leave each `waitMs`. */
function slowPace(waitMs: number): Pace {
  return { frameBytes: () => FRAME_BYTES, take: (_, { signal }) => sleep(waitMs, undefined, { signal }) }
}

describe('serveBlocks()', () => {
  const blocks = madeBlocks([20 * FRAME_BYTES])
  const [[cid, block]] = blocks as unknown as [[string, Uint8Array]]
  const store = { get: async (wanted: string) => blocks.get(wanted) }

  function serve(pace?: Pace): { asker: FrameStream; answering: FrameStream; served: Promise<void> } {
    const [asker, answering] = framePair()
    const served = serveBlocks({ stream: answering, payer: () => 'asker', store, onSent: () => {}, idleMs: IDLE_MS, pace })
    served.catch(() => {}) // Each test awaits it at its end.
    return { asker, answering, served }
  }

  it('goes on with a block that takes longer under a cap than an asker may be silent', async () => {
    const { asker, served } = serve(slowPace(IDLE_MS / 8))
    const startedMs = performance.now()
    await asker.write([CREDIT, encodeRequest({ kind: 'want', cids: [cid] })])
    const decoder = new AnswerDecoder()
    const answers: (Uint8Array | undefined)[] = []
    while (answers.length === 0) answers.push(...decoder.push((await asker.read())!))
    assert.ok(performance.now() - startedMs > 2 * IDLE_MS)
    assert.ok(Buffer.from(answers[0]!).equals(block))
    await asker.close()
    await served
  })

  it('goes on where a single frame waits for its turn longer than that', async () => {
    const { asker, served } = serve(slowPace(2 * IDLE_MS))
    await asker.write([CREDIT, encodeRequest({ kind: 'want', cids: [madeBlocks([1], 2).keys().next().value!] })])
    assert.deepEqual([...(await asker.read())!], [1]) // "I do not have it"
    await asker.close()
    await served
  })

  it('has a peer wait that asks for more than it may, on all its streams together, and nobody else', async () => {
    const wants = new Purses({ perSecond: 2, burst: 2 })
    const lookedFor: string[] = []
    const asking = ['greedy', 'greedy', 'other'].map((peer, stream) => {
      const [asker, answering] = framePair()
      const store = { get: async () => void lookedFor.push(`${peer} ${stream}`) }
      return { asker, served: serveBlocks({ stream: answering, payer: () => peer, store, wants, onSent: () => {} }) }
    })
    for (const { asker } of asking) await asker.write([CREDIT, encodeRequest({ kind: 'want', cids: [cid, cid] })])
    for (const { asker, served } of asking) {
      await asker.close()
      await served
    }
    assert.deepEqual(lookedFor, ['greedy 0', 'greedy 0', 'other 2', 'other 2', 'greedy 1', 'greedy 1'])
  })

  it('refuses a peer that would wait for longer than an asker does', async () => {
    const wants = new Purses({ perSecond: 1, burst: 1 })
    wants.pay('asker', 100, performance.now())
    const [asker, answering] = framePair()
    const served = serveBlocks({ stream: answering, payer: () => 'asker', store, wants, onSent: () => {} })
    await Promise.all([
      asker.write([CREDIT, encodeRequest({ kind: 'want', cids: [cid] })]),
      assert.rejects(served, { code: 'rate_limited' })
    ])
  })

  it('ends a stream whose asker wants nothing, and one whose asker gives no credit for what it wants', async () => {
    const idle = serve()
    const owing = serve()
    await owing.asker.write([encodeRequest({ kind: 'want', cids: [cid] })])
    await Promise.all([idle, owing].map(({ served }) => assert.rejects(served, { name: 'TimeoutError' })))
  })

  it('ends a stream whose asker goes on speaking and takes no frame', async () => {
    const { asker, answering, served } = serve()
    answering.write = async (_, options) => {
      const { promise, reject } = Promise.withResolvers<never>()
      options!.signal!.addEventListener('abort', () => reject(options!.signal!.reason))
      return promise
    }
    await asker.write([CREDIT, encodeRequest({ kind: 'want', cids: [cid] })])
    const speaking = setInterval(() => void asker.write([CREDIT]).catch(() => {}), IDLE_MS / 10)
    await assert.rejects(served, { name: 'TimeoutError' }).finally(() => clearInterval(speaking))
  })
})
