// How values look to a person: bytes, times, losses, peer ids, tables. Nothing here prints.
import Table from 'cli-table3'
import { oneLine } from '../protocols/control/printable.ts'

/** "1.2 MB"; decimal units, as disks and networks are sold. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || Math.abs(value) >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** "0.4 s", "12 s", "3m 20s", "2h 5m", "4d 1h". */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`
  return `${Math.floor(whole / 86_400)}d ${Math.floor((whole % 86_400) / 3600)}h`
}

/** Losses to three digits; a dash for what is not known. */
export function formatLoss(loss: number | null | undefined): string {
  return typeof loss === 'number' && Number.isFinite(loss) ? loss.toFixed(3) : '-'
}

/** Whole numbers with thin groups: 12 345. */
export function formatCount(count: number | null | undefined): string {
  return typeof count === 'number' && Number.isFinite(count) ? String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ' ') : '-'
}

/** "31 %"; two digits where they matter. */
export function formatPercent(part: number): string {
  const percent = part * 100
  return `${percent > 0 && percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`
}

/** The end of a peer id or CID, where they differ: "..kQ9fA2". */
export function shortId(id: string | null | undefined): string {
  if (id === null || id === undefined || id === '') return '-'
  return id.length <= 10 ? id : `..${id.slice(-8)}`
}

/** A round as the checkpoint of it is told. */
export function namedRound(round: number): string {
  return round === 0 ? 'round 0 (nothing trained in it)' : `round ${round}`
}

/** Columns without borders, for a terminal and for `awk` alike. Numbers are right-aligned. */
export function formatTable(head: string[], rows: (string | number | null)[][]): string {
  const none = ''
  const table = new Table({
    head,
    colAligns: head.map((_, column) => (rows.length > 0 && rows.every(row => typeof row[column] === 'number') ? 'right' : 'left')),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2, compact: true },
    chars: {
      top: none,
      'top-mid': none,
      'top-left': none,
      'top-right': none,
      bottom: none,
      'bottom-mid': none,
      'bottom-left': none,
      'bottom-right': none,
      left: none,
      'left-mid': none,
      mid: none,
      'mid-mid': none,
      right: none,
      'right-mid': none,
      middle: none
    }
  })
  for (const row of rows) table.push(row.map(cell => (cell === null ? '-' : oneLine(String(cell)))))
  return table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n')
}
