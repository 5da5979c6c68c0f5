// The memory of daemons over time: what a probe in each of them wrote down, and how fast it grows. Pure but for reading the files.
import { readIfThere } from '../../files.ts'

/** One look, megabytes (10^6 bytes). Garbage was collected just before, or V8's room for it would be all that is seen. */
export interface MemorySample {
  /** From the command's start. */
  seconds: number
  /** Resident, of the whole process. */
  resident: number
  /** Live objects of the main thread. */
  heap: number
  /** Buffers outside V8's heap. */
  external: number
}

/** Theil and Sen's slope: the median of the slopes between all pairs, which single readings cannot bend. */
export interface Growth {
  megabytesAnHour: number
  /** Half of the interval that holds 95 of 100 such slopes, were the samples independent; they are not quite, so the truth is somewhat wider. */
  error: number
}

export interface NodeMemory {
  index: number
  samples: MemorySample[]
}

const MB = 1e6

/** @param file what the probe of one daemon wrote, a line a sample; @param startMs the command's start, as Date.now() has it. */
export async function readSamples(file: string, startMs: number): Promise<MemorySample[]> {
  const text = (await readIfThere(file)) ?? ''
  return text
    .split('\n')
    .filter(line => line.endsWith('}')) // The last may be half a line: whoever writes it was killed.
    .map(line => {
      const { at, rss, heapUsed, external } = JSON.parse(line) as Record<'at' | 'rss' | 'heapUsed' | 'external', number>
      return { seconds: (at - startMs) / 1000, resident: rss / MB, heap: heapUsed / MB, external: external / MB }
    })
}

/** Growth from `afterMs` on; null with fewer than three samples. */
export function growthOf(samples: MemorySample[], afterMs: number): Record<'resident' | 'heap' | 'external', Growth> | null {
  const late = samples.filter(({ seconds }) => seconds * 1000 >= afterMs)
  if (late.length < 3) return null
  const of = (key: 'resident' | 'heap' | 'external'): Growth => slope(late.map(sample => [sample.seconds / 3600, sample[key]]))
  return { resident: of('resident'), heap: of('heap'), external: of('external') }
}

function slope(points: [number, number][]): Growth {
  const slopes: number[] = []
  for (const [i, [x, y]] of points.entries())
    for (const [otherX, otherY] of points.slice(i + 1)) if (otherX !== x) slopes.push((otherY - y) / (otherX - x))
  slopes.sort((a, b) => a - b)
  const at = (position: number): number => slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(position)))]!
  const n = points.length
  // Kendall's variance: how far the rank of the true slope may lie from the middle.
  const spread = 1.96 * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18)
  const middle = (slopes.length - 1) / 2
  return { megabytesAnHour: at(middle), error: (at(middle + spread / 2) - at(middle - spread / 2)) / 2 }
}
