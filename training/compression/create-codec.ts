// Codecs by spec or by wire name.
import { TrainingError } from '../errors.ts'
import type { Codec, CodecSpec } from './codec.ts'
import { BLOCK_VALUES_MAX, BLOCK_VALUES_MIN, INT8_BLOCK_VALUES, TOPK_BLOCK_VALUES, TOPK_DENSITY, TOPK_VALUE } from './constants.ts'
import { float16Codec } from './float16.ts'
import { float32Codec } from './float32.ts'
import { createInt8Codec } from './int8.ts'
import { createTopKCodec } from './top-k.ts'

const SETTINGS: Record<CodecSpec['name'], readonly string[]> = {
  f32: [],
  f16: [],
  int8: ['blockSize'],
  topk: ['density', 'blockSize', 'value']
}

/** The codec of a manifest's spec, or of the wire name that a contribution carries. @throws TrainingError bad_codec */
export function createCodec(spec: CodecSpec | string): Codec {
  if (typeof spec === 'string') return codecOfName(spec)
  const settings = Object.hasOwn(SETTINGS, spec.name) ? SETTINGS[spec.name] : undefined
  if (settings === undefined)
    throw badCodec(`cannot use the codec ${JSON.stringify(spec.name)}`, `one of ${Object.keys(SETTINGS).join(', ')}`)
  const given = (['density', 'blockSize', 'value'] as const).filter(key => spec[key] !== undefined)
  const unknown = given.find(key => !settings.includes(key))
  if (unknown !== undefined)
    throw badCodec(`the codec ${spec.name} has no setting ${unknown}`, `settings: ${settings.join(', ') || 'none'}`)
  switch (spec.name) {
    case 'f32':
      return float32Codec
    case 'f16':
      return float16Codec
    case 'int8':
      return createInt8Codec(checkBlockSize(spec.blockSize ?? INT8_BLOCK_VALUES))
    case 'topk':
      return createTopKCodec(
        checkDensity(spec.density ?? TOPK_DENSITY),
        checkBlockSize(spec.blockSize ?? TOPK_BLOCK_VALUES),
        checkValue(spec.value ?? TOPK_VALUE)
      )
  }
}

/** The inverse of `Codec.name`; a name is accepted only as that codec itself would write it. */
function codecOfName(name: string): Codec {
  const [first, ...rest] = name.split('/')
  const spec: CodecSpec = { name: first as CodecSpec['name'] }
  if (first === 'int8' && rest.length === 1) spec.blockSize = Number(rest[0])
  else if (first === 'topk' && rest.length === 3) {
    spec.density = Number(rest[0])
    spec.blockSize = Number(rest[1])
    spec.value = rest[2] as CodecSpec['value']
  } else if (rest.length > 0)
    throw badCodec(`cannot use the codec name ${JSON.stringify(name.slice(0, 64))}`, 'such as int8/128 or topk/0.05/4096/f16')
  const codec = createCodec(spec)
  if (codec.name !== name) throw badCodec(`cannot use the codec name ${JSON.stringify(name.slice(0, 64))}`, `written as ${codec.name}`)
  return codec
}

function checkBlockSize(size: number): number {
  if (!(size >= BLOCK_VALUES_MIN && size <= BLOCK_VALUES_MAX && Number.isInteger(size) && (size & (size - 1)) === 0))
    throw badCodec(`cannot use the block size ${size}`, `a power of two from ${BLOCK_VALUES_MIN} to ${BLOCK_VALUES_MAX}`)
  return size
}

function checkDensity(density: number): number {
  if (!(density > 0 && density <= 1)) throw badCodec(`cannot use the density ${density}`, 'above 0, at most 1')
  return density
}

function checkValue(value: string): 'f32' | 'f16' | 'int8' {
  if (value !== 'f32' && value !== 'f16' && value !== 'int8')
    throw badCodec(`cannot use the value format ${JSON.stringify(value)}`, 'f32, f16 or int8')
  return value
}

function badCodec(message: string, hint: string): TrainingError {
  return new TrainingError('bad_codec', message, { hint })
}
