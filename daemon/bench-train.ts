// Reads a reference workload from its three files and hands their bytes to training.
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import * as v from 'valibot'
import { type BenchTrainOptions, type BenchTrainReport, benchTrain as benchWorkload } from '../training/bench.ts'
import { DaemonError, reasonOf } from './errors.ts'

export interface BenchTrainFiles {
  /** DIR/NAME, for NAME.json, NAME.params.bin and NAME.batch.bin. */
  workload: string
  steps: number
  warmup: number
  threads: number
  engine: string
  signal?: AbortSignal
}

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
const REAL = v.pipe(v.number(), v.finite())
const DESCRIPTION = v.object({
  // What a model may be is checked where it is made.
  config: v.union([
    v.object({ V: COUNT, T: COUNT, B: COUNT, D: COUNT, L: COUNT, H: COUNT }),
    v.object({ model: v.looseObject({ family: v.string(), context: COUNT }), batch: COUNT })
  ]),
  specs: v.array(v.looseTuple([v.string(), v.array(COUNT)])),
  adamw: v.object({ learningRate: REAL, beta1: REAL, beta2: REAL, epsilon: REAL, weightDecay: REAL })
})

/** Times the compiled training step on a workload. Throws `data_missing`, `data_unreadable`, or what the engine does. */
export async function benchTrain(files: BenchTrainFiles): Promise<BenchTrainReport> {
  const { workload, steps, warmup, threads, engine } = files
  const [text, params, batch] = await Promise.all([read(`${workload}.json`), read(`${workload}.params.bin`), read(`${workload}.batch.bin`)])
  files.signal?.throwIfAborted()
  const description = describe(`${workload}.json`, text)
  return benchWorkload({
    ...description,
    name: basename(workload),
    params: new Float32Array(numbers(`${workload}.params.bin`, params)),
    batch: new Int32Array(numbers(`${workload}.batch.bin`, batch)),
    steps,
    warmup,
    threads,
    engine: engine as BenchTrainOptions['engine'],
    ...(files.signal === undefined ? {} : { signal: files.signal })
  })
}

function describe(path: string, text: Buffer): Pick<BenchTrainOptions, 'config' | 'specs' | 'adamw'> {
  let value: unknown
  try {
    value = JSON.parse(text.toString('utf8'))
  } catch (cause) {
    throw new DaemonError('data_unreadable', `${path} is not JSON`, { cause })
  }
  const result = v.safeParse(DESCRIPTION, value)
  if (!result.success) {
    const [issue] = result.issues
    throw new DaemonError('data_unreadable', `${path} describes no workload: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`)
  }
  // Whether the specs are the model's, the benchmark itself checks.
  return value as Pick<BenchTrainOptions, 'config' | 'specs' | 'adamw'>
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new DaemonError(missing ? 'data_missing' : 'data_unreadable', `cannot read the workload's ${path}: ${reasonOf(cause)}`, {
      hint: 'name it DIR/NAME, without an ending',
      cause
    })
  }
}

/** A copy on a four-byte boundary, as typed arrays want it. */
function numbers(path: string, bytes: Buffer): ArrayBuffer {
  if (bytes.byteLength % 4 !== 0)
    throw new DaemonError('data_unreadable', `${path} has ${bytes.byteLength} bytes, which is no whole number of 4-byte values`)
  return new Uint8Array(bytes).buffer
}
