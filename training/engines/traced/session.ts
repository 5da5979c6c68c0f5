// onnxruntime's session, as this project uses it: CPU, values in and out as plain arrays. Its run() computes on the calling thread's time, so whoever
// must stay responsive runs it in a process of its own.
import { TrainingError } from '../../errors.ts'
import { elementCount } from '../../models/model.ts'
import * as ort from '../onnxruntime.ts'

export type HostArray = Float32Array | Int32Array

/** A graph input or output bound to an array: what is in the array when the session runs is read, or is overwritten. */
export type Binding = ort.Tensor

export function bind(values: HostArray, shape: readonly number[]): Binding {
  return values instanceof Float32Array ? new ort.Tensor('float32', values, shape) : new ort.Tensor('int32', values, shape)
}

export class Session {
  readonly #session: ort.InferenceSession

  /**
   * @throws TrainingError 'engine_failed'
   */
  static async open(bytes: Uint8Array, { threads }: { threads: number }): Promise<Session> {
    try {
      return new Session(
        await ort.InferenceSession.create(bytes, {
          executionProviders: ['cpu'],
          graphOptimizationLevel: 'all',
          intraOpNumThreads: threads,
          interOpNumThreads: 1,
          executionMode: 'sequential',
          // A second plan of the whole memory, beside what the arena holds since the first run: half as much again, and no faster.
          enableMemPattern: false,
          logSeverityLevel: 3,
          // Threads that spin while they wait double or treble a step's time on a machine that has other work.
          extra: { session: { intra_op: { allow_spinning: '0' } } }
        })
      )
    } catch (error) {
      throw new TrainingError('engine_failed', `Cannot compile the graph: ${messageOf(error)}`, { cause: error })
    }
  }

  private constructor(session: ort.InferenceSession) {
    this.#session = session
  }

  /**
   * Computes; outputs are written into the arrays that are bound to them.
   *
   * @throws TrainingError 'engine_failed'
   */
  async run(inputs: Record<string, Binding>, outputs: Record<string, Binding>): Promise<void> {
    try {
      await this.#session.run(inputs, outputs)
    } catch (error) {
      throw new TrainingError('engine_failed', `Cannot run the graph: ${messageOf(error)}`, { cause: error })
    }
  }

  async close(): Promise<void> {
    await this.#session.release()
  }
}

/** An array for an output and its binding. */
export function outputOf(shape: readonly number[]): { values: Float32Array; binding: Binding } {
  const values = new Float32Array(elementCount(shape))
  return { values, binding: bind(values, shape) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
