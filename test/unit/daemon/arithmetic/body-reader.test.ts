import assert from 'node:assert/strict'
import { TensorReader } from '../../../../daemon/arithmetic/body-reader.ts'
import { CHUNK_BYTES } from '../../../../protocols/bodies/index.ts'

describe('TensorReader', () => {
  const SIZE = 2 * CHUNK_BYTES + 7
  const byteAt = (at: number): number => (at * 7919) & 255

  for (const [readsAhead, expected] of [
    [true, [1, 2, 3, 3, 3]],
    [false, [0, 1, 2, 2, 3]]
  ] as const)
    it(`asks for a chunk ${readsAhead ? 'when its forerunner is begun' : 'not before its bytes are wanted, if it is not to read ahead'}`, async () => {
      let asked = 0
      const blocks = {
        async get(chunk: string): Promise<Uint8Array> {
          asked++
          const start = Number(chunk) * CHUNK_BYTES
          return Uint8Array.from({ length: Math.min(CHUNK_BYTES, SIZE - start) }, (_, i) => byteAt(start + i))
        }
      }
      const reader = new TensorReader(blocks, { name: 't', shape: [SIZE], size: SIZE, chunks: ['0', '1', '2'] }, { readsAhead })
      const askedBy = [asked]
      let at = 0
      for (const count of [10, CHUNK_BYTES, CHUNK_BYTES - 10, 7]) {
        assert.deepEqual(
          await reader.take(count),
          Uint8Array.from({ length: count }, (_, i) => byteAt(at + i))
        )
        at += count
        askedBy.push(asked)
      }
      assert.deepEqual(askedBy, expected)
      await assert.rejects(reader.take(1), RangeError)
    })
})
