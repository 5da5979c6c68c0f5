// `shoal daemon`: runs a node in the foreground until Ctrl-C, SIGTERM or `shoal stop`.
import { setFlagsFromString } from 'node:v8'
import type { Command } from 'commander'
import { action } from '../action.ts'
import { collected } from '../option-values.ts'

/**
 * For a process that lives for months. Full collections pack objects together, or pages that are half empty stay; and between bytecode and optimised code there is no third form of each function.
 * What is optimised takes in a quarter of what V8 would let it: side by side in one mesh of twelve for 18 minutes that is 6 MB less resident, and 7 % less computed.
 * Not in the command line, which trainers inherit. What V8 does not know it complains of, and goes on.
 */
const V8_FLAGS = ['--compact-on-every-full-gc', '--no-sparkplug', '--max-inlined-bytecode-size-cumulative=230']

interface DaemonFlags {
  listen?: string[]
  announce?: string[]
  bootstrap?: string[]
  network?: string
  mdns: boolean
  profile?: string
  apiPort?: string
  run?: string[]
  data?: string[]
  bootstrapOnly?: boolean
  engine?: string
  threads?: string
  maxUpload?: string
  audit?: string
  logLevel?: string
  stopWithParent?: boolean
}

export function registerDaemon(program: Command): void {
  program
    .command('daemon')
    .alias('start')
    .description('run a node in the foreground; prints how others join it')
    .option('--bootstrap <address>', 'a node to find the mesh by, dialled for as long as needed; again for more', collected)
    .option('--listen <address>', 'a multiaddr to listen on; again for more', collected)
    .option('--announce <address>', 'a multiaddr to tell peers instead, for forwarded ports; again for more', collected)
    .option('--network <name>', 'the name of the mesh; meshes of other names are never met')
    .option('--no-mdns', 'do not look for nodes on the local network')
    .option('--profile <name>', 'lan, or test: loopback and free ports only')
    .option('--api-port <port>', 'port of the control API on 127.0.0.1; 0 is any free one')
    .option('--run <run>', 'a run to join at the start; again for more', collected)
    .option('--data <path>', 'text for runs whose data is private: a path or sotu:ERA; again for more', collected)
    .option('--bootstrap-only', 'only help others find one another; train nothing')
    .option('--engine <name>', 'what computes; see: shoal engines')
    .option('--threads <count>', 'threads of the trainer; 0 is as many as the machine has')
    .option('--audit <fraction>', "look at so many of others' contributions for itself, such as 0.1")
    .option('--max-upload <rate>', 'send at most so much, such as 1MB/s; facts go at once, blocks wait')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent')
    .option('--stop-with-parent', 'stop when standard input ends, as a pipe does when the process that holds its other end is gone')
    .action(
      action<DaemonFlags>(async (session, options) => {
        const { output, home, signal } = session
        const { mdns, stopWithParent, ...given } = options
        const signals = stopWithParent === true ? [signal, endOf(process.stdin)] : [signal]
        for (const flag of V8_FLAGS) setFlagsFromString(flag)
        const { runDaemon } = await import('../../daemon/index.ts')
        await runDaemon({
          flags: {
            ...given,
            home,
            // Without the flag commander says true, which must not outweigh the file.
            ...(mdns ? {} : { mdns: false })
          },
          env: process.env,
          signal: AbortSignal.any(signals),
          onReady: ready => {
            output.answer(ready, () =>
              [
                `peer      ${ready.peer}`,
                ...ready.addresses.map(address => `listening ${address}`),
                `api       ${ready.api}`,
                `join with ${ready.join}`
              ].join('\n')
            )
          }
        })
      })
    )
}

/** Fires when a stream has ended; what comes before is thrown away. */
function endOf(stream: NodeJS.ReadStream): AbortSignal {
  const ended = new AbortController()
  const end = () => ended.abort(new Error('standard input ended'))
  stream.once('end', end).once('close', end).once('error', end).resume()
  return ended.signal
}
