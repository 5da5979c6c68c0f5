import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readCorpora } from '../../../daemon/corpora.ts'
import { temporaryHome } from '../storage/temporary-home.ts'

describe('readCorpora()', () => {
  const home = temporaryHome()

  it('gives the documents of all sources in order', async () => {
    writeFileSync(join(home(), 'b.txt'), 'two')
    writeFileSync(join(home(), 'a.jsonl'), '{"text": "zero"}\n{"text": "one"}')
    const documents = await readCorpora([home(), 'sotu:1790-1860', join(home(), 'b.txt')])
    assert.deepEqual(
      [...documents.slice(0, 3), documents.at(-1)].map(text => text!.slice(0, 16)),
      ['zero', 'one', 'two', 'two']
    )
    assert.ok(documents.length > 50)
  })

  it('reads a file of more lines than a call may have arguments', async () => {
    writeFileSync(join(home(), 'lines.jsonl'), '{"text": "a line"}\n'.repeat(200_000))
    assert.equal((await readCorpora([home()])).length, 200_000)
  })

  it('reads a file once where a folder above it has the name of a file of text', async () => {
    const folder = join(home(), 'README.md', 'notes.txt')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'a.txt'), 'one')
    assert.deepEqual(await readCorpora([home()]), ['one'])
  })

  it('refuses sources without a file of text', async () => {
    for (const sources of [[], [home()]]) await assert.rejects(readCorpora(sources), { code: 'data_missing' })
    await assert.rejects(readCorpora([join(home(), 'none.txt')]), { code: 'data_unreadable' })
  })
})
