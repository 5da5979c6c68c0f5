// What a run's author is told before anything is signed, by the process that makes tokenizer and parameters.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseRunSpec } from '../../../../daemon/manifest.ts'
import { askProcess } from '../../../../daemon/one-shot.ts'
import type { GenesisReply, GenesisRequest } from '../../../../daemon/run/genesis.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

describe('the genesis process', function () {
  this.timeout(60_000)
  const home = temporaryHome()

  const make = (files: string[]) =>
    askProcess<GenesisRequest, GenesisReply>(new URL('../../../../daemon/run/genesis-process.js', import.meta.url), {
      spec: parseRunSpec({
        name: 'small',
        model: { family: 'gpt2', layers: 1, width: 32, heads: 2, context: 32, biases: false },
        tokenizer: { kind: 'bytes' },
        data: { corpus: 'files', files },
        optimizer: { learningRate: 5e-3, batch: 4 }
      }),
      baseDir: home(),
      parametersFile: join(home(), 'genesis.safetensors')
    })

  it('refuses corpus files that no trainer could read, whatever the tokenizer', async () => {
    const text = 'Text that is long enough for a window of the model.'
    for (const [name, content, code] of [
      ['rows.csv', text, 'bad_corpus'],
      ['empty.txt', '', 'corpus_empty'],
      ['latin.txt', Buffer.from([0x47, 0x72, 0xfc, 0xdf, 0x65]), 'invalid_utf8'],
      ['lines.jsonl', '{"text": "a"}\n{"no": "b"}', 'bad_json_line'],
      ['short.txt', 'short', 'corpus_too_small']
    ] as const) {
      writeFileSync(join(home(), name), content)
      await assert.rejects(make([name]), { code }, name)
    }
    await assert.rejects(make(['none.txt']), { code: 'data_unreadable' })
    writeFileSync(join(home(), 'long.txt'), text)
    assert.equal((await make(['long.txt', 'short.txt'])).tokenizer.kind, 'bytes')
  })
})
