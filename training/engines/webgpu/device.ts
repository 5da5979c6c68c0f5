// A GPU as onnxruntime's WebGPU provider gives it: graphs compiled for it, tensors that stay on it, and an account of every byte that moves between it and
// the host. Reading such a tensor's data directly ends the process, so both ways lead through a graph of one node.
import { tmpdir } from 'node:os'
import { TrainingError } from '../../errors.ts'
import { elementCount } from '../../models/model.ts'
import * as ort from '../onnxruntime.ts'
import { bind, type HostArray } from '../traced/session.ts'
import { trace } from '../traced/tracer.ts'

/** What has moved since the device was opened, and what lies on it now. */
export interface DeviceAccount {
  uploadedBytes: number
  downloadedBytes: number
  residentTensors: number
  residentBytes: number
  /** Compiled and not closed, two of the device's own among them. */
  sessions: number
}

/** f32 numbers on the device. Whoever made it disposes it, once. */
export class DeviceTensor {
  readonly shape: readonly number[]
  /** What a session is given. */
  readonly value: ort.Tensor
  readonly #account: DeviceAccount

  constructor(value: ort.Tensor, account: DeviceAccount) {
    this.value = value
    this.shape = value.dims
    this.#account = account
    account.residentTensors++
    account.residentBytes += bytesOf(value)
  }

  dispose(): void {
    this.#account.residentTensors--
    this.#account.residentBytes -= bytesOf(this.value)
    this.value.dispose()
  }
}

/** An input of a graph: on the device already, or an array that is uploaded for this one run. */
export type DeviceInput = DeviceTensor | { values: HostArray; shape: readonly number[] }

/** A compiled graph: the outputs that were named when it was compiled stay on the device, the others come to the host. */
export class DeviceSession {
  readonly #session: ort.InferenceSession
  readonly #account: DeviceAccount

  constructor(session: ort.InferenceSession, account: DeviceAccount) {
    this.#session = session
    this.#account = account
    account.sessions++
  }

  /**
   * Computes. Inputs stay whose they are; resident outputs are the caller's to dispose.
   *
   * @throws TrainingError 'engine_failed'
   */
  async run(inputs: Record<string, DeviceInput>): Promise<{ resident: Record<string, DeviceTensor>; host: Record<string, Float32Array> }> {
    const feeds: Record<string, ort.Tensor> = {}
    for (const [name, input] of Object.entries(inputs)) {
      feeds[name] = input instanceof DeviceTensor ? input.value : bind(input.values, input.shape)
      if (!(input instanceof DeviceTensor)) this.#account.uploadedBytes += input.values.byteLength
    }
    let results: ort.InferenceSession.OnnxValueMapType
    try {
      results = await this.#session.run(feeds)
    } catch (error) {
      throw new TrainingError('engine_failed', `Cannot run the graph on the GPU: ${firstLine(error)}`, { cause: error })
    }
    const resident: Record<string, DeviceTensor> = {}
    const host: Record<string, Float32Array> = {}
    for (const [name, tensor] of Object.entries(results)) {
      if (tensor.location === 'gpu-buffer') {
        resident[name] = new DeviceTensor(tensor, this.#account)
        continue
      }
      host[name] = tensor.data as Float32Array
      this.#account.downloadedBytes += host[name].byteLength
    }
    return { resident, host }
  }

  async close(): Promise<void> {
    this.#account.sessions--
    await this.#session.release()
  }
}

export class Device {
  readonly #account: DeviceAccount
  #closed = false
  readonly #up: DeviceSession
  readonly #down: DeviceSession

  /** @throws TrainingError 'engine_failed' */
  static async open(): Promise<Device> {
    const account: DeviceAccount = { uploadedBytes: 0, downloadedBytes: 0, residentTensors: 0, residentBytes: 0, sessions: 0 }
    const same = trace({ host: { shape: 'any', type: 'float32' } }, ({ host }) => ({ resident: host! }), 'webgpu').bytes
    const up = new DeviceSession(await createSession(same, ['resident']), account)
    const down = new DeviceSession(await createSession(same, []), account)
    return new Device({ up, down }, account)
  }

  private constructor({ up, down }: { up: DeviceSession; down: DeviceSession }, account: DeviceAccount) {
    this.#up = up
    this.#down = down
    this.#account = account
  }

  get account(): Readonly<DeviceAccount> {
    return { ...this.#account }
  }

  /**
   * @param resident the outputs that stay on the device
   * @throws TrainingError 'engine_failed', also where the graph has an operation that the GPU would leave to the CPU
   */
  async compile(bytes: Uint8Array, resident: readonly string[] = []): Promise<DeviceSession> {
    if (this.#closed) throw new TrainingError('engine_disposed', 'Cannot compile: the engine was disposed')
    return new DeviceSession(await createSession(bytes, resident), this.#account)
  }

  async upload({ values, shape }: { values: Float32Array; shape: readonly number[] }): Promise<DeviceTensor> {
    return (await this.#up.run({ host: { values, shape } })).resident.resident!
  }

  async download(tensor: DeviceTensor): Promise<Float32Array> {
    return (await this.#down.run({ host: tensor })).host.resident!
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#up.close()
    await this.#down.close()
  }
}

async function createSession(bytes: Uint8Array, resident: readonly string[]): Promise<ort.InferenceSession> {
  // Dawn complains on the process's stderr where this is not set.
  process.env.XDG_RUNTIME_DIR ??= tmpdir()
  try {
    return await ort.InferenceSession.create(bytes, {
      executionProviders: ['webgpu'],
      graphOptimizationLevel: 'all',
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      logSeverityLevel: 4,
      preferredOutputLocation: Object.fromEntries(resident.map(name => [name, 'gpu-buffer'])),
      // An operation left to the CPU would move its tensors there and back in every step, unseen.
      extra: { session: { disable_cpu_ep_fallback: '1' } }
    })
  } catch (error) {
    throw new TrainingError('engine_failed', `Cannot compile the graph for the GPU: ${firstLine(error)}`, { cause: error })
  }
}

function bytesOf({ dims }: ort.Tensor): number {
  return 4 * elementCount(dims)
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!
}
