// Reading a config.json, whatever the family: each setting by name, and a clear no to what this program cannot compute.
import { TrainingError } from '../../errors.ts'
import type { NamedTensor } from '../model.ts'

export type Settings = Record<string, unknown>

/** @throws TrainingError 'bad_hugging_face_folder' naming the setting, its value and those that can be computed */
export function mustBe(settings: Settings, key: string, fallback: unknown, ...allowed: unknown[]): void {
  const value = settings[key] ?? fallback
  if (!allowed.includes(value))
    throw bad(`${key} is ${JSON.stringify(value)}, this program computes ${allowed.map(one => JSON.stringify(one)).join(' or ')}`)
}

/** @throws TrainingError 'bad_hugging_face_folder' */
export function whole(settings: Settings, key: string, fallback?: number): number {
  const value = settings[key] ?? fallback
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw bad(`${key} is ${JSON.stringify(value)}, it must be a whole number from 1`)
  return value
}

/** @throws TrainingError 'bad_hugging_face_folder' */
export function real(settings: Settings, key: string, fallback: number): number {
  const value = settings[key] ?? fallback
  if (typeof value !== 'number') throw bad(`${key} is ${JSON.stringify(value)}, it must be a number`)
  return value
}

/** Tensors by name; a bare model, saved without its head, lacks the prefix. */
export function named(
  tensors: readonly NamedTensor[],
  { prefix, head, ignored }: { prefix: string; head: string; ignored: RegExp }
): Map<string, NamedTensor> {
  return new Map(
    tensors
      .filter(({ name }) => !ignored.test(name))
      .map(tensor => {
        const name = tensor.name === head || tensor.name.startsWith(prefix) ? tensor.name : prefix + tensor.name
        return [name, { ...tensor, name }]
      })
  )
}

export function bad(why: string): TrainingError {
  return new TrainingError('bad_hugging_face_folder', `Cannot read the model: ${why}`)
}
