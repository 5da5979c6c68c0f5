// Tells a mesh run to the person who started it: a line for each thing that happened, and on a terminal a table of the nodes below them.
import { formatBytes, formatCount, formatLoss, formatSeconds, formatTable, shortId } from '../format.ts'
import type { Output } from '../output.ts'
import { peersHere } from '../status-text.ts'
import type { ReportFault } from './report.ts'
import type { MeshNews, NodeState } from './runner.ts'
import { nodeOf, type Step } from './steps.ts'

export class Narrator {
  readonly #output: Output
  readonly #returning = new Set<number>()

  constructor(output: Output) {
    this.#output = output
  }

  /** One line, with the time where there is one. */
  line(text: string, seconds?: number): void {
    this.#output.progress(seconds === undefined ? text : `${`${seconds.toFixed(1)}s`.padStart(7)}  ${text}`)
  }

  /** A scenario is judged without these: whoever reads that it held must know. */
  leftOut(steps: Step[]): void {
    const named = steps.map(step => [step.do, nodeOf(step)].filter(word => word !== undefined).join(' '))
    this.line(`left out, since --rounds ends the mesh before: ${named.join(', ')}`)
  }

  tell(news: MeshNews): void {
    switch (news.kind) {
      case 'ready':
        this.#ready(news)
        break
      case 'run':
        this.line(`run ${news.run}`, news.seconds)
        break
      case 'met':
        this.#met(news.states)
        break
      case 'round':
        this.line(
          `round ${String(news.row.round).padEnd(3)} loss ${formatLoss(news.row.loss)}  ${contributors(news)}  ${formatBytes(news.bytes)}` +
            `  ${news.row.seconds === null ? '-' : formatSeconds(news.row.seconds)}  anchor ${shortId(news.row.anchor)}`,
          news.seconds
        )
        break
      case 'fault':
        this.#fault(news.fault)
        break
      case 'status':
        this.#caughtUp(news.states)
        void this.#output.live(liveTable(news.states))
        break
      case 'ended':
        this.#output.liveDone()
        this.#roots(news.states)
        break
      case 'note':
        this.line(news.text)
        break
      default:
        news satisfies never
    }
  }

  #ready({ state, seconds, again }: Extract<MeshNews, { kind: 'ready' }>): void {
    if (again) this.#returning.add(state.index)
    const port = state.node?.addresses[0]?.replace(/\/p2p\/.*/, '') ?? ''
    this.line(`node ${state.index}  ${state.peer}  ${again ? 'is back with its own home' : 'is up'}  ${port}`, seconds)
  }

  /** Who found whom, and how: what a person would otherwise have to believe. */
  #met(states: NodeState[]): void {
    const names = new Map(states.map(state => [state.peer, `node ${state.index}`]))
    this.line('who found whom, and how:')
    for (const state of states) {
      const found = (state.status?.peers ?? [])
        .filter(peer => names.has(peer.peer))
        .map(peer => `${names.get(peer.peer)} (${peer.foundBy ?? 'gossip'})`)
        .sort()
      this.line(`         node ${state.index}: ${found.join(', ') || 'nobody'}`)
    }
  }

  #fault({ do: does, node, phase, round, seconds, detail }: ReportFault): void {
    const who = node === null ? '' : `node ${node} `
    const isStart = does === 'restart' || does === 'join'
    const inPhase = phase === null || isStart ? '' : `, in phase ${phase}`
    this.line(`${who}${DONE[does]} at round ${round}${inPhase}${detail === null ? '' : ` (${detail})`}`, seconds)
  }

  #caughtUp(states: NodeState[]): void {
    const newest = Math.max(...states.map(state => state.round))
    for (const state of states) {
      if (!this.#returning.has(state.index) || state.life !== 'alive' || state.status === null || state.round < newest || newest === 0)
        continue
      this.#returning.delete(state.index)
      this.line(`         node ${state.index} has caught up at round ${state.round}`)
    }
  }

  #roots(states: NodeState[]): void {
    this.line('the final anchor, as each node holds it:')
    for (const state of states) {
      const note = state.life === 'alive' ? '' : ` (${state.life})`
      this.line(`         node ${state.index}  round ${state.round}  ${state.anchor ?? 'none'}  ${state.engine ?? ''}${note}`.trimEnd())
    }
  }
}

/** What was done, as a sentence about the node or the mesh. */
const DONE: Record<Step['do'], string> = {
  kill: 'killed with SIGKILL',
  stop: 'stopped with SIGSTOP',
  continue: 'goes on (SIGCONT)',
  restart: 'started again',
  leave: 'left the run and stopped',
  join: 'joined as a new node',
  fillDisk: 'has its disk filled',
  freeDisk: 'has its disk freed',
  corruptBlock: 'has a block corrupted',
  slow: 'has its network limited',
  partition: 'the network is parted',
  heal: 'the network is whole again',
  killAll: 'all killed with SIGKILL',
  restartAll: 'all that are dead start again',
  storm: 'a storm begins',
  wait: 'waited'
}

function contributors({ row, states, absent }: Extract<MeshNews, { kind: 'round' }>): string {
  const names = new Map(states.map(state => [state.peer, state.index]))
  const indexes = row.contributors.map(({ peer, age }) => `${names.get(peer) ?? '?'}${age > 0 ? ' (late)' : ''}`).sort()
  const without = absent.map(({ node, was }) => (was === 'alive' ? `${node}` : `${node} (${was})`))
  const lacks = without.length === 0 ? '' : `, without ${without.join(' ')}`
  return `from nodes ${indexes.join(' ')}${lacks}, closed by ${names.get(row.closer) ?? '?'}`
}

/** The table that is redrawn on a terminal. */
export function liveTable(states: NodeState[]): string {
  const rows = states.map(state => {
    const run = state.status?.runs[0]
    const doing = state.life === 'alive' ? (run?.waitingFor ?? run?.state ?? 'starting') : state.life
    return [
      state.index,
      shortId(state.peer),
      doing,
      state.round,
      run?.step ?? 0,
      formatLoss(run?.loss),
      formatCount(run?.tokensPerSecond),
      peersHere(state.status?.peers ?? []).length,
      formatBytes(state.before.sent + state.traffic.sent)
    ]
  })
  return `\n${formatTable(['NODE', 'PEER', 'STATE', 'ROUND', 'STEP', 'LOSS', 'TOK/S', 'PEERS', 'SENT'], rows)}\n`
}
