// What an engine keeps on the GPU from one call to the next.
import type { NamedTensor } from '../../models/model.ts'
import type { Device, DeviceTensor } from './device.ts'

/** Tensors on the device by name, and the one place that disposes those that are replaced. */
export class Residents {
  readonly #device: Device
  readonly #tensors = new Map<string, DeviceTensor>()

  constructor(device: Device) {
    this.#device = device
  }

  get(name: string): DeviceTensor {
    return this.#tensors.get(name)!
  }

  replace(name: string, tensor: DeviceTensor): void {
    this.#tensors.get(name)?.dispose()
    this.#tensors.set(name, tensor)
  }

  async upload(tensors: readonly NamedTensor[]): Promise<void> {
    for (const tensor of tensors) this.replace(tensor.name, await this.#device.upload(tensor))
  }

  async download(names: readonly string[]): Promise<NamedTensor[]> {
    const tensors: NamedTensor[] = []
    for (const name of names) {
      const tensor = this.get(name)
      tensors.push({ name, shape: [...tensor.shape], values: await this.#device.download(tensor) })
    }
    return tensors
  }

  inputs(names: readonly string[]): Record<string, DeviceTensor> {
    return Object.fromEntries(names.map(name => [name, this.get(name)]))
  }

  dispose(): void {
    for (const tensor of this.#tensors.values()) tensor.dispose()
    this.#tensors.clear()
  }
}
