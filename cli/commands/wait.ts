// `shoal wait --for CONDITION`: for scripts. Ends with 0 when it holds, 4 when --timeout passes first.
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import type { ControlClient, StatusDocument } from '../../protocols/control/index.ts'
import { action } from '../action.ts'
import { CliError } from '../errors.ts'
import { runMeant } from '../run-argument.ts'
import { peersHere } from '../status-text.ts'

/** Milliseconds between looks. */
const LOOK_MS = 250

/** What a daemon that is starting, busy or being restarted explains; all else stays as it is however long one waits. */
const PASSING: ReadonlySet<string> = new Set(['daemon_not_running', 'request_timeout', 'stopping'])

type Condition = { kind: 'ready' } | { kind: 'synced' } | { kind: 'peers'; count: number } | { kind: 'round'; round: number }

export function registerWait(program: Command): void {
  program
    .command('wait')
    .description('wait for a condition; exit code 4 when --timeout passes first')
    .requiredOption('--for <condition>', 'ready, peers=N, round=N or synced', onlyCondition)
    .option('--run <run>', "for round and synced: a run's id or name; any run otherwise")
    .action(
      action<{ for: Condition; run?: string }>(async (session, options) => {
        const { signal, output } = session
        if (options.run !== undefined && (options.for.kind === 'ready' || options.for.kind === 'peers'))
          throw new CliError('bad_argument', `${conditionText(options.for)} is of the node, not of a run`, { hint: 'leave --run out' })
        let last = 'the daemon does not answer'
        while (!signal.aborted) {
          const look = await lookAt(session.control, options.for, options.run, signal)
          if (look.holds) {
            output.answer({ schema: 1, met: true, condition: conditionText(options.for) }, () => look.text)
            return
          }
          // What a request says that the time limit cut short is not how far it is.
          if (!signal.aborted) last = look.text
          await delay(LOOK_MS, undefined, { signal }).catch(() => undefined)
        }
        if ((signal.reason as Error).name !== 'TimeoutError') signal.throwIfAborted()
        throw new CliError('timeout', `waited for ${conditionText(options.for)}: ${last}`, { hint: 'give --timeout a longer time' })
      })
    )
}

async function lookAt(
  control: () => Promise<ControlClient>,
  condition: Condition,
  run: string | undefined,
  signal: AbortSignal
): Promise<{ holds: boolean; text: string }> {
  try {
    const client = await control()
    if (condition.kind === 'ready') {
      const { ready, failed } = await client.ready({ signal })
      return { holds: ready, text: ready ? 'ready' : `not ready: ${failed.join(', ')}` }
    }
    return judge(await client.status({ signal }), condition, run)
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string }
    if (signal.aborted || PASSING.has(code)) return { holds: false, text: message }
    throw error
  }
}

/** Pure: whether a status fulfils a condition, and in words how far it is. @throws CliError `bad_argument` where `run` means several. */
export function judge(status: StatusDocument, condition: Condition, run: string | undefined): { holds: boolean; text: string } {
  if (condition.kind === 'peers') {
    const count = peersHere(status.peers).length
    return { holds: count >= condition.count, text: `${count} peers` }
  }
  const newest = run === undefined ? status.runs.toSorted((a, b) => b.round - a.round)[0] : runMeant(status.runs, run)
  if (newest === undefined) return { holds: false, text: run === undefined ? 'this node is in no run' : `this node is not in ${run}` }
  if (condition.kind === 'round') return { holds: newest.round >= condition.round, text: `round ${newest.round}` }
  if (condition.kind === 'ready') return { holds: true, text: 'ready' }
  // Synced: past the fetching of history, and not behind what any live peer says it holds.
  const ahead = Math.max(0, ...status.peers.flatMap(peer => peer.runs.filter(row => row.run === newest.run).map(row => row.round)))
  const settled = newest.head !== null && !['joining', 'syncing', 'failed'].includes(newest.state)
  return { holds: settled && newest.round >= ahead, text: `${newest.state} at round ${newest.round}, peers at ${ahead}` }
}

/** Of two, commander would take the later one: a script would go on before the first holds. */
function onlyCondition(text: string, before: Condition | undefined): Condition {
  if (before !== undefined) throw new CliError('bad_argument', '--for is given twice', { hint: 'wait for one after the other' })
  return readCondition(text)
}

/** @throws CliError `bad_argument`. */
export function readCondition(text: string): Condition {
  if (text === 'ready' || text === 'synced') return { kind: text }
  const counted = /^(peers|round)=(\d+)$/.exec(text)
  if (counted?.[1] === 'peers') return { kind: 'peers', count: Number(counted[2]) }
  if (counted?.[1] === 'round') return { kind: 'round', round: Number(counted[2]) }
  throw new CliError('bad_argument', `"${text}" is no condition`, { hint: 'write ready, peers=N, round=N or synced' })
}

function conditionText(condition: Condition): string {
  if (condition.kind === 'peers') return `peers=${condition.count}`
  return condition.kind === 'round' ? `round=${condition.round}` : condition.kind
}
