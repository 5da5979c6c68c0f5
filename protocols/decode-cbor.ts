// dag-cbor off the wire: how deep it nests is known before it is decoded. Decoding recurses, and encoding again (as signed blocks do) takes the square of the depth.
// Minus zero is read, and written as zero: the same value would have two names.
import * as dagCbor from '@ipld/dag-cbor'
import { ProtocolError } from './errors.ts'

/** Levels of lists, maps and tags. Our deepest message, a stage index, has six. */
const MAX_LEVELS = 16

/** @throws ProtocolError bad_message: not dag-cbor, nested deeper than any message is, or with a minus zero in it */
export function decodeCbor(what: string, bytes: Uint8Array): unknown {
  const flaw = flawOf(bytes)
  if (flaw !== null) throw new ProtocolError('bad_message', `cannot decode ${what}: ${flaw}`)
  try {
    return dagCbor.decode(bytes)
  } catch (cause) {
    throw new ProtocolError('bad_message', `cannot decode ${what}: it is not dag-cbor`, { details: { bytes: bytes.byteLength }, cause })
  }
}

/** Walks from head to head; where something is not as dag-cbor has it, the decoder will say so. */
function flawOf(bytes: Uint8Array): string | null {
  /** Of each open list, map or tag, the items still to come. */
  const open: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const major = bytes[at]! >> 5
    const info = bytes[at]! & 31
    const width = info < 24 ? 0 : info < 28 ? 1 << (info - 24) : -1
    if (width < 0 || at + 1 + width > bytes.length) return null
    let count = info
    if (width > 0) {
      count = 0
      for (let i = 1; i <= width; i++) count = count * 256 + bytes[at + i]!
    }
    // A float of which only the sign is set.
    if (major === 7 && width > 0 && bytes[at + 1] === 0x80 && bytes.subarray(at + 2, at + 1 + width).every(byte => byte === 0))
      return 'it has a minus zero'
    at += 1 + width
    if (major === 2 || major === 3) at += count
    const items = major === 4 ? count : major === 5 ? 2 * count : major === 6 ? 1 : 0
    if (items > 0) {
      if (open.push(items) > MAX_LEVELS) return `it has more than ${MAX_LEVELS} levels`
      continue
    }
    // This item is whole, and with it whatever ends here.
    while (open.length > 0 && --open[open.length - 1]! === 0) open.pop()
    if (open.length === 0) return null
  }
  return null
}
