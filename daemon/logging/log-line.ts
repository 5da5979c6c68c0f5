// One log record as one line for people: time, level, component, message, facts.
import pc from 'picocolors'
import { oneLine } from '../../protocols/control/printable.ts'

const NAMES: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }
/** Fields with a place of their own, or of no use on a line. */
const PLACED = new Set(['time', 'level', 'msg', 'component', 'pid', 'hostname', 'v'])
/** Characters of one fact. */
const MAX_FACT = 200

/** A line without its break from a record as pino writes it; text that is no record is answered unchanged. */
export function logLine(json: string, colour: boolean): string {
  let record: Record<string, unknown>
  try {
    record = JSON.parse(json) as Record<string, unknown>
  } catch {
    return json
  }
  const paint = pc.createColors(colour)
  const level = NAMES[Number(record.level)] ?? String(record.level)
  const painted = level === 'warn' ? paint.yellow(level) : level === 'error' || level === 'fatal' ? paint.red(level) : paint.dim(level)
  const component = typeof record.component === 'string' ? `${record.component}: ` : ''
  const facts = Object.entries(record)
    .filter(([key]) => !PLACED.has(key))
    .map(([key, value]) => `${key}=${factText(value)}`)
  const tail = facts.length === 0 ? '' : ` ${paint.dim(facts.join(' '))}`
  return `${paint.dim(String(record.time))} ${painted.padEnd(5 + painted.length - level.length)} ${component}${oneLine(String(record.msg ?? ''))}${tail}`
}

function factText(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value) return factText(String(value.message))
  const text = oneLine(typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)))
  const quoted = /[\s"=]/.test(text) && typeof value === 'string' ? JSON.stringify(text) : text
  return quoted.length > MAX_FACT ? `${quoted.slice(0, MAX_FACT - 3)}...` : quoted
}
