// Laws of the data room: text survives its tokens, a reader put back goes on as if it had never stopped, and slots are dealt without gap or overlap.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createBatches } from '../../../training/data/batches.ts'
import { assignSlots, countOverlap } from '../../../training/data/slots.ts'
import { tokenizerFromJson } from '../../../training/data/tokenizer-json.ts'
import { bytesTokenizer, trainByteBpe } from '../../../training/data/train-bpe.ts'

/** Any text: all planes, white space of every kind, contractions, and (once made well-formed) halves of characters. */
const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(' ', '\n', '\r\n', '\t', '\u00a0', '\u0085', '\ufeff', "'s", "'ll", '<|endoftext|>', 'the', ' the', '\ud83d')
    )
  )
  .map(parts => parts.join(''))
const corpus = fc.array(text, { minLength: 1, maxLength: 5 })
const peers = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 })

describe('laws of tokenizers', () => {
  it('decode(encode(text)) is the text', () => {
    const bytes = bytesTokenizer()
    fc.assert(fc.property(text, value => assert.equal(bytes.decode(bytes.encode(value)), value.toWellFormed())))
    fc.assert(
      fc.property(corpus, text, (texts, value) => {
        const tokenizer = trainByteBpe(texts, { vocabulary: 300 })
        for (const any of [value, ...texts]) {
          const ids = tokenizer.encode(any)
          assert.equal(tokenizer.decode(ids), any.toWellFormed())
          assert.equal(tokenizer.byteLength(ids), Buffer.byteLength(any.toWellFormed()))
        }
      })
    )
  })

  it('a tokenizer rebuilt from its tokenizer.json gives the same ids', async () => {
    await fc.assert(
      fc.asyncProperty(corpus, text, async (texts, value) => {
        const trained = trainByteBpe(texts, { vocabulary: 300 })
        const rebuilt = await tokenizerFromJson(trained.files()['tokenizer.json']!)
        for (const any of [value, ...texts]) assert.deepEqual(rebuilt.encode(any), trained.encode(any))
        assert.deepEqual(rebuilt.files(), trained.files())
      })
    )
  })
})

describe('laws of batches', () => {
  const sizes = fc.record({
    length: fc.integer({ min: 20, max: 400 }),
    batch: fc.integer({ min: 1, max: 5 }),
    context: fc.integer({ min: 1, max: 12 }),
    slotWindows: fc.integer({ min: 1, max: 4 }),
    seed: fc.integer(),
    shared: fc.boolean(),
    contributors: peers
  })
  const reader = ({ length, shared, contributors, ...rest }: Parameters<Parameters<typeof sizes.map>[0]>[0]) => {
    const tokens = Int32Array.from({ length }, (_, i) => i)
    return createBatches({ ...rest, tokens, ...(shared ? { assignment: { peer: contributors[0]!, contributors } } : {}) })
  }

  it('seek(position) is having read on', () => {
    fc.assert(
      fc.property(sizes, fc.nat(60), fc.array(fc.tuple(peers, fc.nat(60)), { maxLength: 4 }), peers, (options, before, dealt, last) => {
        const [read, sought] = [reader(options), reader(options)]
        for (let i = 0; i < before; i++) read.next()
        for (const [others, after] of dealt) {
          read.assign(others)
          for (let i = 0; i < after; i++) read.next()
        }
        sought.seek(JSON.parse(JSON.stringify(read.position())))
        assert.deepEqual(sought.position(), read.position())
        for (let i = 0; i < 30; i++) assert.deepEqual(sought.next(), read.next())
        for (const both of [read, sought]) both.assign(last)
        assert.deepEqual(sought.next(), read.next())
      })
    )
  })

  it('an epoch reads each window of its share once', () => {
    fc.assert(
      fc.property(sizes, options => {
        const { context } = options
        const batches = reader({ ...options, batch: 1 })
        const windows = batches.tokensPerEpoch() / context
        const starts = Array.from({ length: windows }, () => batches.next().inputs[0]!)
        assert.equal(new Set(starts).size, windows)
        assert.ok(starts.every(start => start % context === 0))
        if (!options.shared) assert.equal(windows, Math.floor((options.length - 1) / context))
        batches.next()
        assert.equal(batches.position().epoch, 1)
      })
    )
  })
})

describe('laws of slots', () => {
  it('contributors read all but the reserved slots, none twice; newcomers read all reserved ones and no other', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.nat(5), fc.integer(), peers, (slots, epoch, seed, contributors) => {
        const orderOf = (peer: string) => [...assignSlots({ slots, epoch, seed, contributors, peer })]
        const newcomer = orderOf('a newcomer')
        if (slots < 2) return assert.deepEqual(newcomer, [0])
        const reserved = new Set(newcomer)
        const dealt = contributors.map(orderOf).filter(order => !order.every(slot => reserved.has(slot)))
        assert.equal(countOverlap([...dealt, newcomer]), 0)
        assert.equal(new Set([...dealt.flat(), ...newcomer]).size, slots)
        assert.equal(reserved.size, Math.ceil(slots / 16))
        const lengths = contributors.map(peer => orderOf(peer).length)
        if (slots > 16 * contributors.length) assert.ok(Math.max(...lengths) - Math.min(...lengths) <= 1)
      })
    )
  })

  it('the order of the contributors does not matter', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer(), peers, (slots, seed, contributors) => {
        const question = { slots, epoch: 0, seed, peer: contributors[0]! }
        assert.deepEqual(assignSlots({ ...question, contributors }), assignSlots({ ...question, contributors: contributors.toReversed() }))
      })
    )
  })
})
