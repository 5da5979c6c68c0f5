import assert from 'node:assert/strict'
import { GraphWriter } from '../../../../../training/engines/traced/graph.ts'
import { adapterIn, probe } from '../../../../../training/engines/webgpu/probe.ts'
import { DOUBLE } from '../../../../../training/engines/webgpu/probe-graph.ts'

/** A child that runs a script in the probe's place. */
const instead = (script: string, timeoutMs = 20_000) => probe({ timeoutMs, command: ['-e', script] })

describe('probe()', () => {
  it('survives a driver that crashes', async () => {
    const { reason, adapter } = await instead("process.kill(process.pid, 'SIGSEGV')")
    assert.match(reason!, /ended the probe with SIGSEGV/)
    assert.equal(adapter, null)
  })

  it('ends a driver that hangs', async () => {
    assert.match((await instead('setInterval(() => {}, 1000)', 300)).reason!, /no answer .* within 0.3 s/)
  })

  it('counts an answer even if the driver crashes afterwards', async () => {
    const script = "require('fs').writeSync(1, JSON.stringify({ reason: null })); process.kill(process.pid, 'SIGSEGV')"
    assert.equal((await instead(script)).reason, null)
  })

  it('says in plain words that there is no GPU', async () => {
    const script = "console.log(JSON.stringify({ reason: 'x.cc:136 Failed to get a WebGPU adapter: No supported adapters' }))"
    assert.equal((await instead(script)).reason, 'no GPU with a working driver was found')
  })

  it('asks for the sum of a number with itself', () => {
    const writer = new GraphWriter('webgpu')
    writer.input('x', [3], 'float32')
    const [sum] = writer.node('Add', ['x', 'x'])
    writer.output('y', sum!, [3], 'float32')
    assert.equal(DOUBLE, Buffer.from(writer.encode()).toString('base64'))
  })
})

describe('adapterIn()', () => {
  const line = (adapter: string, driver: string) => `DRIVER | LAYER:          Using "${adapter}" with driver: "${driver}"\n`

  it("reads the adapter out of the Vulkan loader's words", () => {
    assert.deepEqual(adapterIn(line('NVIDIA H100', 'libGLX_nvidia.so.0')), { adapter: 'NVIDIA H100', software: false })
    assert.deepEqual(adapterIn('nothing of it'), { adapter: null, software: false })
  })

  it('knows adapters that are programs on the CPU', () => {
    assert.ok(adapterIn(line('SwiftShader Device (Subzero)', '/x/libvk_swiftshader.so')).software)
    assert.ok(adapterIn(line('llvmpipe (LLVM 15.0.6, 256 bits)', '/x/libvulkan_lvp.so')).software)
  })
})
