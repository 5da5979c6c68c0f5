// Runs one of the system's tools by which a mesh's networks and disks are made.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { CliError } from '../../errors.ts'

/** Where they come from: Debian's packages, which other systems name alike. */
const HINT = 'it needs Linux with ip and tc (package iproute2), nft (nftables), unshare, nsenter, setpriv and mount (util-linux)'

/** Runs a command to its end. @param input its standard input. @throws CliError `network_unavailable` when it is not there or fails, with what it said. */
export async function runTool([name, ...args]: [string, ...string[]], input = ''): Promise<void> {
  const child = spawn(name, args, { stdio: ['pipe', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4096)
  })
  child.stdin.on('error', () => undefined) // It may end before it has read all: its exit says why.
  child.stdin.end(input)
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    if (code !== 0) throw unavailable(name, said.trim().split('\n')[0] || `it ended with ${code}`)
  } catch (error) {
    if (error instanceof CliError) throw error
    throw unavailable(name, (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'it is not installed' : String(error), error)
  }
}

export function unavailable(what: string, why: string, cause?: unknown): CliError {
  return new CliError('network_unavailable', `run ${what}: ${why}`, { hint: HINT, cause })
}
