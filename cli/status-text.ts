// How a node's status looks to a person: the same tables for `status`, `peers` and `run ls`.
import type { PeerRow, RunStatus, StandingRow, StatusDocument, TakenContribution } from '../protocols/control/index.ts'
import { oneLine } from '../protocols/control/printable.ts'
import { formatBytes, formatCount, formatLoss, formatPercent, formatSeconds, formatTable, shortId } from './format.ts'

/** The whole status, several lines. */
export function statusText(status: StatusDocument): string {
  const { node } = status
  const { wire, maxUpload } = status.traffic
  const lines = [
    `node      ${shortId(node.peer)}   ${node.state}   up ${formatSeconds(node.upSeconds)}   network ${node.network}   v${node.version}`,
    `traffic   sent ${formatBytes(wire.sent)}   received ${formatBytes(wire.received)}${maxUpload === null ? '' : `   sends at most ${formatBytes(maxUpload)}/s`}`
  ]
  for (const run of status.runs) lines.push(...runLines(run).map(oneLine))
  if (status.runs.length === 0) lines.push('run       none; join one with: shoal run join RUN')
  lines.push('', status.peers.length === 0 ? 'no peers yet' : peersTable(status.peers))
  const remarks = status.health.filter(row => row.level !== 'ok')
  if (remarks.length > 0) {
    lines.push('', '# Health:')
    for (const row of remarks) lines.push(oneLine(`#  ${row.level.padEnd(4)}  ${row.message}${row.fix === null ? '' : `  -> ${row.fix}`}`))
  }
  return lines.join('\n')
}

/** One line for a pipe: what changes from look to look. */
export function statusLine(status: StatusDocument): string {
  const runs = status.runs.map(
    run =>
      `${run.name} ${run.state} round ${run.round} step ${run.step} loss ${formatLoss(run.loss)}${run.waitingFor === null ? '' : ` (${run.waitingFor})`}`
  )
  return `${node(status)} peers ${peersHere(status.peers).length}${runs.length === 0 ? '' : ` | ${runs.join(' | ')}`}`
}

/** Without those that are listed only because they are not trusted. */
export function peersHere(peers: PeerRow[]): PeerRow[] {
  return peers.filter(({ state }) => state !== 'away')
}

function node(status: StatusDocument): string {
  return `${shortId(status.node.peer)} ${status.node.state}`
}

function runLines(run: RunStatus): string[] {
  const lines = [
    `run       ${run.name}   ${run.state}   round ${run.round}   step ${formatCount(run.step)}   loss ${formatLoss(run.loss)}   ${run.members.length} members   ${shortId(run.run)}`
  ]
  const why = [run.waitingFor, run.reason].filter(text => text !== null)
  if (why.length > 0) lines.push(`          ${why.join('; ')}`)
  if (run.engine !== null) {
    const speed = run.tokensPerSecond === null ? '' : `   ${formatCount(run.tokensPerSecond)} tok/s`
    const why = run.engineReason === null ? '' : ` (${run.engineReason})`
    lines.push(`compute   ${run.engine}${why}${speed}   ${formatCount(run.tokens)} tokens so far`)
  }
  const { share, lastAccepted } = run
  if (share?.share != null)
    lines.push(
      `share     ${formatPercent(share.share)} of ${formatCount(share.allTokens)} tokens in the last ${share.rounds} rounds   last accepted: ${lastAccepted === null ? 'none' : `round ${lastAccepted.round}`}`
    )
  const last = run.lastContribution
  if (last !== null)
    lines.push(`          last contribution: round ${last.round}, ${last.result}${last.taken === null ? '' : takenText(last.taken)}`)
  if (run.trainer.restarts > 0)
    lines.push(
      `          trainer restarted ${run.trainer.restarts} times: ${run.trainer.code ?? 'reason unknown'}, ${run.trainer.reason ?? ''}`
    )
  for (const { engine, code, reason, deaths } of run.trainer.givenUp)
    lines.push(`          ${engine} given up after ${deaths}: ${code}, ${reason}; shoal run resume tries it again`)
  return lines
}

function takenText({ tokens, age, scale }: TakenContribution): string {
  const late = age === 0 ? '' : ', late'
  return ` with ${formatCount(tokens)} tokens${late}${scale === undefined ? '' : `, cut to ${formatPercent(scale)}`}`
}

export function peersTable(peers: PeerRow[]): string {
  return formatTable(
    ['PEER', 'FOUND BY', 'DIRECTION', 'RTT', 'ROUND', 'STATE', 'LAST SEEN', 'ADDRESS'],
    peers.map(peer => [
      shortId(peer.peer),
      peer.foundBy,
      peer.direction,
      peer.rttMs === null ? null : `${Math.round(peer.rttMs)} ms`,
      peer.runs[0]?.round ?? null,
      (peer.runs[0]?.state ?? peer.state) + (peer.standing === 'good' ? '' : `, ${peer.standing}`),
      peer.lastSeenMs === null ? null : `${formatSeconds(agoSeconds(peer.lastSeenMs))} ago`,
      peer.addresses[0]?.replace(/\/p2p\/.*/, '') ?? null
    ])
  )
}

/** What this node makes of a peer, several lines. */
export function standingText({ peer, standing, reason, byOperator, until, points, bans, offences, opinions }: StandingRow): string {
  const by = byOperator ? ' (by the operator)' : ''
  const lasts = standing === 'banned' ? (until === null ? ', for good' : `, until ${until}`) : ''
  return [
    `${peer}: ${standing}${reason === null ? '' : `, ${reason}`}${by}${lasts}; ${points} points${bans > 0 ? `, banned ${bans} times lately` : ''}`,
    ...offences.map(({ ts, code, points, subject }) => `  ${ts}  ${code}  ${points} points${subject === null ? '' : `  ${subject}`}`),
    ...opinions.map(({ author, code, round }) => `  ${shortId(author)} says: ${code} in round ${round}`)
  ]
    .map(oneLine)
    .join('\n')
}

/** A moment since 1970 or an age: whichever it is, the smaller reading makes sense. */
function agoSeconds(lastSeenMs: number): number {
  const since = lastSeenMs > 1e11 ? Date.now() - lastSeenMs : lastSeenMs
  return Math.max(0, since) / 1000
}

export function runsTable(runs: RunStatus[]): string {
  return formatTable(
    ['NAME', 'STATE', 'ROUND', 'STEP', 'LOSS', 'TOK/S', 'MEMBERS', 'RUN'],
    runs.map(run => [
      run.name,
      run.waitingFor === null ? run.state : `${run.state}: ${run.waitingFor}`,
      run.round,
      run.step,
      formatLoss(run.loss),
      formatCount(run.tokensPerSecond),
      run.members.length,
      run.run
    ])
  )
}
