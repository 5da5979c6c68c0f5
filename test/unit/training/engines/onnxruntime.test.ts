import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DOUBLE } from '../../../../training/engines/webgpu/probe-graph.ts'

const SESSION = new URL('../../../../training/engines/traced/session.js', import.meta.url).href

describe('onnxruntime', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-onnxruntime-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('neither keeps an identifier of its user nor a list of what it has to tell', () => {
    const [home, temporary] = [join(folder, 'home'), join(folder, 'tmp')]
    for (const path of [home, temporary]) mkdirSync(path)
    // What would keep it silent by itself, or lead it past the two folders, is taken away.
    const { ORT_DISABLE_TELEMETRY: _, CI: __, XDG_CACHE_HOME: ___, ...env } = process.env
    const code = `const { Session } = await import('${SESSION}'); await Session.open(Buffer.from('${DOUBLE}', 'base64'), { threads: 1 })`
    execFileSync(process.execPath, ['--input-type=module', '-e', code], { env: { ...env, HOME: home, TMPDIR: temporary }, timeout: 60_000 })
    assert.deepEqual(readdirSync(folder, { recursive: true }).sort(), ['home', 'tmp'])
  })
})
