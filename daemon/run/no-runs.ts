// The run host of a node that only helps others find one another: it knows no run and takes part in none.
import { DaemonError } from '../errors.ts'
import type { RunHost } from './run-host.ts'

/** A run host without runs, for bootstrap-only nodes. */
export function openNoRuns(): RunHost {
  const unknown = (run: string) => Promise.reject(new DaemonError('unknown_run', `this node does not know the run ${run}`))
  const refuse = () =>
    Promise.reject(
      new DaemonError('not_allowed', 'this node only helps others find one another (bootstrapOnly): it takes part in no run', {
        hint: 'start it without --bootstrap-only'
      })
    )
  return {
    start: async () => {},
    stop: async () => {},
    create: refuse,
    join: refuse,
    seek: refuse,
    leave: unknown,
    pause: unknown,
    resume: unknown,
    list: () => [],
    inspect: unknown,
    rounds: unknown,
    checkpoints: async () => [],
    fetchCheckpoint: refuse,
    exportCheckpoint: unknown,
    admission: { invite: unknown, invitations: unknown, revokeInvitation: unknown, candidates: unknown, decide: unknown },
    pauseForDisk: async () => {},
    resumeFromDisk: async () => {},
    afterClockGap: () => {}
  }
}
