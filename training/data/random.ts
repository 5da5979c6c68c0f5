/** Seeded random numbers for data order and sampling: 32-bit integers only, so that every Node version draws the same. */

/** A source of random numbers that answers the same for the same seed. */
export interface Random {
  /** An integer in [0, below), without modulo bias. `below` is at most 2^32. */
  integer(below: number): number
  /** A number in [0, 1) with 32 random bits. */
  fraction(): number
}

/**
 * sfc32 (Chris Doty-Humphrey's small fast counter, as in PractRand) over a seed of any text.
 * @param seed everything that distinguishes this stream, e.g. `batches/7/0`.
 */
export function createRandom(seed: string): Random {
  const hash = hashText(seed)
  let [a, b, c, counter] = [hash(), hash(), hash(), 1]
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return sum >>> 0
  }
  for (let i = 0; i < 12; i++) next() // sfc32's authors mix so many times before the first number
  return {
    integer(below) {
      const limit = 2 ** 32 - (2 ** 32 % below)
      let value = next()
      while (value >= limit) value = next()
      return value % below
    },
    fraction: () => next() / 2 ** 32
  }
}

/** The numbers 0..count-1 in a random order (Fisher and Yates). */
export function permutation(count: number, random: Random): Uint32Array {
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) order[i] = i
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(i + 1)
    const moved = order[i]!
    order[i] = order[j]!
    order[j] = moved
  }
  return order
}

/** FNV-1a over UTF-16 units, then murmur3's finaliser for each word drawn: neighbouring seeds give unlike states. */
function hashText(text: string): () => number {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  return () => {
    state = (state + 0x9e3779b9) | 0
    let word = state
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
    return word ^ (word >>> 16)
  }
}
