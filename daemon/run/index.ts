// Placeholder until the real run host lands: a node without runs.
import { DaemonError } from '../errors.ts'
import type { RunHost, RunHostComponents } from './run-host.ts'

/** Opens the part of the daemon that keeps runs. */
export function openRunHost(_components: RunHostComponents): RunHost {
  const absent = (run: string) => Promise.reject(new DaemonError('unknown_run', `this node does not know the run ${run}`))
  return {
    start: async () => {},
    stop: async () => {},
    create: () => Promise.reject(new DaemonError('internal', 'this build keeps no runs')),
    join: absent,
    leave: absent,
    pause: absent,
    resume: absent,
    list: () => [],
    inspect: absent,
    rounds: absent,
    checkpoints: async () => [],
    fetchCheckpoint: absent,
    exportCheckpoint: absent,
    pauseForDisk: async () => {},
    resumeFromDisk: async () => {},
    afterClockGap: () => {}
  }
}
