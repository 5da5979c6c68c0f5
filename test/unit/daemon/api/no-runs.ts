// A run host without runs, for tests of what stands around it.
import { DaemonError } from '../../../../daemon/errors.ts'
import type { RunHost } from '../../../../daemon/run/run-host.ts'

export function noRuns(): RunHost {
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
