// Asks, in a process of its own, whether a GPU answers and computes: a broken driver may end the process or hang it. Prints the reason why not, if any.
// It loads onnxruntime and nothing else, so that a machine without a GPU learns it soon.
import * as ort from '../onnxruntime.ts'
import { DOUBLE } from './probe-graph.ts'

const GIVEN = [1, -2, 3.5]

const reason = await compute().catch((error: unknown) => (error instanceof Error ? error.message.trim() : String(error)))
process.stdout.write(JSON.stringify({ reason }))

async function compute(): Promise<string | null> {
  const session = await ort.InferenceSession.create(Buffer.from(DOUBLE, 'base64'), {
    executionProviders: ['webgpu'],
    logSeverityLevel: 4,
    intraOpNumThreads: 1,
    extra: { session: { disable_cpu_ep_fallback: '1' } }
  })
  const { y } = await session.run({ x: new ort.Tensor('float32', GIVEN, [GIVEN.length]) })
  const returned = [...(y!.data as Float32Array)]
  await session.release()
  return GIVEN.every((value, i) => returned[i] === 2 * value) ? null : `the GPU made ${returned} of ${GIVEN} doubled`
}
