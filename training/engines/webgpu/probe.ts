// Whether WebGPU works here, and on which adapter. Found out in a child process, once: a driver that crashes or hangs takes only the child with it.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Generous: a machine that is busy takes many seconds to compile its first shader in software. */
const PROBE_MS = 60_000
/** What is kept of the child's diagnostics. */
const STDERR_CHARACTERS_MAX = 1 << 20

export interface WebgpuProbe {
  /** Why it does not work, or null. */
  reason: string | null
  /** The adapter's name, where its driver's loader tells. */
  adapter: string | null
  /** Whether the adapter is a program on the CPU. */
  software: boolean
}

let known: Promise<WebgpuProbe> | null = null

export function probeWebgpu(): Promise<WebgpuProbe> {
  known ??= probe({ timeoutMs: PROBE_MS })
  return known
}

/** Asks anew. */
export async function probe({ timeoutMs, command = probeCommand() }: { timeoutMs: number; command?: string[] }): Promise<WebgpuProbe> {
  const child = spawn(process.execPath, command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // The Vulkan loader's word on what it chose is the only way to learn the adapter's name: onnxruntime keeps it to itself.
    env: { ...process.env, VK_LOADER_DEBUG: 'driver' },
    windowsHide: true
  })
  let answer = ''
  let diagnostics = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    answer += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (diagnostics.length < STDERR_CHARACTERS_MAX) diagnostics += text
  })
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const ended = await new Promise<string>(resolve => {
    child.on('error', error => resolve(`the probe did not start: ${error.message}`))
    child.on('close', (code, signal) => resolve(`the driver ended the probe with ${signal ?? `exit code ${code}`}`))
  })
  clearTimeout(timer)
  if (late) return { reason: `no answer from the driver within ${timeoutMs / 1000} s`, adapter: null, software: false }
  return { reason: reasonIn(answer, ended), ...adapterIn(diagnostics) }
}

function probeCommand(): string[] {
  return [fileURLToPath(new URL('./probe-process.js', import.meta.url))]
}

/** The child answers before its driver is taken down, which may fail too: an answer counts. */
function reasonIn(answer: string, ended: string): string | null {
  try {
    const { reason } = JSON.parse(answer) as { reason: string | null }
    if (reason === null) return null
    return /Failed to get a WebGPU adapter/.test(reason) ? 'no GPU with a working driver was found' : reason
  } catch {
    return ended
  }
}

/** The loader names every adapter that a device was made of, and the driver behind it. */
export function adapterIn(diagnostics: string): { adapter: string | null; software: boolean } {
  const [, adapter, driver] = /Using "([^"]+)" with driver: "([^"]+)"/.exec(diagnostics) ?? []
  if (!adapter) return { adapter: null, software: false }
  return { adapter, software: /swiftshader|llvmpipe|lavapipe|libvulkan_lvp/i.test(`${adapter} ${driver}`) }
}
