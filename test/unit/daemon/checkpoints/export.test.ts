import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportFolder } from '../../../../daemon/checkpoints/export.ts'
import type { ExportRequest } from '../../../../daemon/checkpoints/export-process.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

describe('exportFolder()', () => {
  const home = temporaryHome()

  it('leaves nothing of a process that was killed while it wrote', async () => {
    const directory = join(home(), 'model')
    const killed = spawnSync(process.execPath, ['-e', ''])
    const half = `${directory}.${killed.pid}-0-1.shoal-tmp`
    mkdirSync(half)
    writeFileSync(join(half, 'model.safetensors'), 'half')
    const request: ExportRequest = {
      parametersFile: join(home(), 'parameters'),
      model: {
        family: 'gpt2',
        vocabulary: 257,
        context: 4,
        width: 8,
        layers: 1,
        heads: 2,
        biases: false,
        tiedEmbeddings: true,
        layerNormEpsilon: 1e-5
      },
      tokenizer: { kind: 'bytes', json: null },
      facts: {},
      directory
    }
    await assert.rejects(exportFolder(request, { signal: AbortSignal.abort(new Error('interrupted')) }), /interrupted/)
    assert.deepEqual(readdirSync(home()), [])
  })
})
