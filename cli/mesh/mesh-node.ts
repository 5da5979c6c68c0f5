// What the runner knows of a node: a process that can be signalled and a control client that can be asked. Real daemons and the tests' stand-ins are both of it.
import type { ControlClient } from '../../protocols/control/index.ts'

/** The part of the control client that the runner uses. */
export type MeshControl = Pick<
  ControlClient,
  'id' | 'status' | 'run' | 'createRun' | 'joinRun' | 'pauseRun' | 'leaveRun' | 'rounds' | 'events' | 'exportCheckpoint' | 'shutdown'
>

export type ProcessSignal = 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'

/** How a process ended. */
export interface ProcessEnd {
  code: number | null
  signal: string | null
  /** The last lines of its output. */
  lastWords: string
}

/** One started daemon whose API answers. */
export interface MeshNode {
  index: number
  peer: string
  /** Addresses that another node can dial. */
  addresses: string[]
  control: MeshControl
  /** Settles when the process is gone, however that came about. */
  ended: Promise<ProcessEnd>
  signal(name: ProcessSignal): void
}

export interface StartOptions {
  /** Addresses of nodes to find the mesh by. */
  bootstrap: string[]
  /** `phase@round`: the daemon stays in that phase from that round on until it is killed; `phase@round:closer`: in that round, if it is the first in rank to close it. */
  holdPhase?: string
  /** Told at once of each process that is made for it. */
  onProcess?: (pid: number) => void
  signal: AbortSignal
}

/** Where a node's daemon runs. */
export interface NodePlace {
  /** Multiaddr to listen on for peers; null: any port of the loopback address, and the same one in each later life. */
  listen: string | null
  /** Where its API listens; null: any port. */
  apiPort: number | null
  /** Command line that goes before the daemon's own. */
  command: string[]
}

/** Starts node `index` from its own home, the same one each time. */
export interface NodeStarter {
  start(index: number, options: StartOptions): Promise<MeshNode>
}
