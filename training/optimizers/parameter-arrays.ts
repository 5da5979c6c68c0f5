// What the host keeps of each parameter: value, gradient and AdamW's moments, in WebAssembly memory, where the passes over them (passes.wat) take four numbers
// at a time. The same passes in plain JavaScript take several times as long: a tenth of a training step.
import type { AdamWOptions, AdamWScalars } from './adamw.ts'

/** passes.wat, compiled. */
export const PASSES =
  'AGFzbQEAAAABHgNgDn9/f39/fX19fX19fX19AGADf39/AGACf38BfAIQAQRob3N0Bm1lbW9yeQIAAQMEAwABAgceAwVhZGFtdwAAA2FkZAABDHN1bU9mU3F1YXJlcwACCu' +
  'ACA7sBAQN7A0AgAf0ABAAgBf0T/eYBIQ4gAv0ABAAgBv0T/eYBIA4gB/0T/eYB/eQBIQ8gA/0ABAAgCP0T/eYBIA4gDv3mASAJ/RP95gH95AEhECACIA/9CwQAIAMgEP0L' +
  'BAAgACAA/QAEACAL/RP95gEgDyAM/RP95gEgEP3jASAN/RP95gEgCv0T/eQB/ecB/eUB/QsEACAAQRBqIQAgAUEQaiEBIAJBEGohAiADQRBqIQMgBEEQayIEDQALCzEAA0' +
  'AgACAA/QAEACAB/QAEAP3kAf0LBAAgAEEQaiEAIAFBEGohASACQRBrIgINAAsLbwEFewNAIAD9AAQAIQIgAv1fIQMgAiAC/Q0ICQoLDA0ODwABAgMEBQYH/V8hBCAFIAMg' +
  'A/3yAf3wASEFIAYgBCAE/fIB/fABIQYgAEEQaiEAIAFBEGsiAQ0ACyAFIAb98AEhBSAF/SEAIAX9IQGgCw=='

interface Passes {
  adamw(parameter: number, gradient: number, first: number, second: number, bytes: number, ...scalars: number[]): void
  add(into: number, values: number, bytes: number): void
  sumOfSquares(values: number, bytes: number): number
}

const PAGE_BYTES = 65_536
/** Addresses of 32 bits end here. */
const MOST_BYTES = 65_536 * PAGE_BYTES
/** Arrays begin on a cache line, of which onnxruntime's own loads are glad too. */
const LINE_BYTES = 64
/** Values that are taken at a time of arrays that no memory can hold. */
const PIECE = 16_384

const compiled = new WebAssembly.Module(Buffer.from(PASSES, 'base64'))

/** One WebAssembly memory with the passes over it. What lies between its arrays is zero, and passes leave it so. */
class PassMemory {
  readonly passes: Passes
  readonly #memory: WebAssembly.Memory
  #used = 0

  constructor(bytes: number) {
    const pages = Math.ceil(bytes / PAGE_BYTES)
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
    this.passes = new WebAssembly.Instance(compiled, { host: { memory: this.#memory } }).exports as unknown as Passes
  }

  array(count: number): Float32Array {
    const array = new Float32Array(this.#memory.buffer, this.#used, count)
    this.#used += lineBytes(count)
    return array
  }
}

function lineBytes(count: number): number {
  return Math.ceil((4 * count) / LINE_BYTES) * LINE_BYTES
}

/** One parameter's value and what training keeps beside it, all of one size, with a step's passes over them. */
export class ParameterArrays {
  readonly parameter: Float32Array
  /** Of the latest microbatch. */
  readonly gradient: Float32Array
  /** AdamW's m and v. */
  readonly first: Float32Array
  readonly second: Float32Array
  readonly #sum: Float32Array | null
  readonly #memory: PassMemory
  /** Where pieces of the arrays are worked on, if the arrays themselves do not lie in the memory. */
  readonly #pieces: Float32Array[] | null

  constructor(memory: PassMemory, count: number, { sums, resident }: { sums: boolean; resident: boolean }) {
    const array = () => (resident ? memory.array(count) : new Float32Array(count))
    this.parameter = array()
    this.gradient = array()
    this.first = array()
    this.second = array()
    this.#sum = sums ? array() : null
    this.#memory = memory
    this.#pieces = resident ? null : [1, 2, 3, 4].map(() => memory.array(PIECE))
  }

  /** Keeps the gradient, added to what was kept where that is not `fresh` any more. Only where sums were asked for. */
  keepGradient(fresh: boolean): void {
    if (fresh) this.#kept().set(this.gradient)
    else this.#pass([this.#kept(), this.gradient], ([into, values], bytes) => this.#memory.passes.add(into!, values!, bytes))
  }

  /** gradient := gradient + what was kept */
  addKept(): void {
    this.#pass([this.gradient, this.#kept()], ([into, values], bytes) => this.#memory.passes.add(into!, values!, bytes))
  }

  /** Of the gradient, in f64. */
  sumOfSquares(): number {
    let sum = 0
    this.#pass([this.gradient], ([values], bytes) => {
      sum += this.#memory.passes.sumOfSquares(values!, bytes)
    })
    return sum
  }

  /** One step of AdamW in f32, in place; the gradient counts times `scale` (clipping, mean over microbatches). */
  adamw(scale: number, { beta1, beta2, epsilon }: AdamWOptions, { keep, rate, rootCorrection }: AdamWScalars): void {
    const scalars = [scale, beta1, 1 - beta1, beta2, 1 - beta2, epsilon, keep, rate, rootCorrection]
    this.#pass([this.parameter, this.gradient, this.first, this.second], (addresses, bytes) =>
      this.#memory.passes.adamw(...(addresses as [number, number, number, number]), bytes, ...scalars)
    )
  }

  #kept(): Float32Array {
    if (!this.#sum) throw new Error('no sums were asked for')
    return this.#sum
  }

  #pass(arrays: Float32Array[], pass: (addresses: number[], bytes: number) => void): void {
    const count = arrays[0]!.length
    const places = this.#pieces?.slice(0, arrays.length)
    if (!places) {
      pass(arrays.map(addressOf), passBytes(count))
      return
    }
    for (let start = 0; start < count; start += PIECE) {
      const end = Math.min(count, start + PIECE)
      for (const [i, array] of arrays.entries()) {
        places[i]!.fill(0)
        places[i]!.set(array.subarray(start, end))
      }
      pass(places.map(addressOf), passBytes(end - start))
      for (const [i, array] of arrays.entries()) array.set(places[i]!.subarray(0, end - start), start)
    }
  }
}

function addressOf({ byteOffset }: Float32Array): number {
  return byteOffset
}

/** Bytes of the numbers that a pass takes, four at a time. */
function passBytes(count: number): number {
  return Math.ceil(count / 4) * 16
}

/**
 * Arrays of zeros for parameters of these many values.
 *
 * @param sums whether gradients are summed over microbatches, which takes one more array for each
 * @param mostBytes of one memory
 */
export function allocateParameters(counts: readonly number[], { sums = false, mostBytes = MOST_BYTES } = {}): ParameterArrays[] {
  const bytesOf = (count: number) => (sums ? 5 : 4) * lineBytes(count)
  // Parameters that follow one another share a memory, because each takes address space far beyond its size.
  const groups: number[][] = []
  let room = 0
  for (const count of counts) {
    const bytes = bytesOf(count)
    if (bytes > room) {
      groups.push([])
      room = mostBytes
    }
    groups.at(-1)!.push(count)
    room -= bytes
  }
  return groups.flatMap(group => {
    const bytes = group.reduce((sum, count) => sum + bytesOf(count), 0)
    const resident = bytes <= mostBytes
    const memory = new PassMemory(resident ? bytes : 4 * lineBytes(PIECE))
    return group.map(count => new ParameterArrays(memory, count, { sums, resident }))
  })
}
