// Why a trainer process ended, in one stable code and one sentence, from what the system and the process itself said of it.
import { readFileSync } from 'node:fs'

/** What is the engine's doing; anything else that ends a trainer carries the code of the error that it told, such as `trainer_state_damaged`. */
export const ENGINE_DEATHS = ['engine_crashed', 'engine_out_of_memory', 'engine_hung', 'engine_failed'] as const
/** The engine cannot compute this here at all: trying again changes nothing. */
const HOPELESS = ['engine_unavailable', 'untraceable_operation', 'unknown_engine']

export interface Death {
  code: string
  /** One sentence, without the code. */
  reason: string
  /** The engine that the process computed with or was opening; null where it had not come to one. */
  engine: string | null
  /** Whether the engine is to blame, and whether it could do better another time. */
  blame: 'engine' | 'engine_for_good' | null
  exitCode: number | null
  signal: string | null
}

/** What is known of an end. */
export interface End {
  exitCode: number | null
  signal: string | null
  engine: string | null
  /** The error that the process told before it ended. */
  fatal: { code: string; message: string } | null
  /** The end of its stderr. */
  lastWords: string
  /** Milliseconds of silence after which the daemon killed it, null where it did not. */
  silentMs: number | null
  /** Whether the kernel killed some process for memory while this one ran. */
  oomKilled: boolean
}

export function deathOf(end: End): Death {
  const { exitCode, signal, engine } = end
  const { code, reason } = causeOf(end)
  const isHopeless = engine !== null && HOPELESS.includes(code)
  const isEngine = engine !== null && (ENGINE_DEATHS as readonly string[]).includes(code)
  // What went wrong before any engine was asked for, such as a process that could not be made, is not an engine's fault.
  const blame = isHopeless ? 'engine_for_good' : isEngine ? 'engine' : null
  const stands = engine === null && (ENGINE_DEATHS as readonly string[]).includes(code) ? 'trainer_failed' : code
  return { code: stands, reason, engine, blame, exitCode, signal }
}

function causeOf({ exitCode, signal, fatal, lastWords, silentMs, oomKilled }: End): { code: string; reason: string } {
  if (silentMs !== null) return { code: 'engine_hung', reason: `it said nothing for ${Math.round(silentMs / 1000)} s and was killed` }
  const said = fatal === null ? lineOf(lastWords) : fatal.message.replaceAll(/\s+/g, ' ').trim().slice(0, REASON_MAX)
  const how = signal === null ? `exit code ${exitCode}` : `killed by ${signal}`
  // Any other code says more than words that a path or a text may have in it.
  const mayBeMemory = fatal === null || fatal.code === 'internal' || fatal.code.startsWith('engine_')
  if (said !== null && mayBeMemory && OUT_OF_MEMORY.test(said))
    return { code: 'engine_out_of_memory', reason: fatal === null ? `${said} (${how})` : said }
  if (signal === 'SIGKILL' && oomKilled) return { code: 'engine_out_of_memory', reason: `${how} when the kernel was out of memory` }
  if (fatal !== null) return { code: fatal.code, reason: said! }
  if (exitCode === null && signal === null) return { code: 'trainer_failed', reason: said ?? 'the process could not be made' }
  return { code: 'engine_crashed', reason: said === null ? how : `${how}: ${said}` }
}

/** How V8, onnxruntime, wasm and the C library say it. */
const OUT_OF_MEMORY =
  /out of memory|bad_alloc|allocation failed|failed to allocate|could not allocate|cannot allocate memory|unable to allocate|ENOMEM|Aborted\(OOM\)/i
const REASON_MAX = 300

/** The line of stderr that says most: Node prints a stack after it. */
function lineOf(words: string): string | null {
  const lines = words
    .trim()
    .split('\n')
    .filter(line => line.trim() !== '')
  const line = lines.find(text => OUT_OF_MEMORY.test(text)) ?? lines.find(text => /error|fatal|terminate|_/i.test(text)) ?? lines.at(-1)
  return line === undefined ? null : line.trim().slice(0, REASON_MAX)
}

/** Processes that the kernel has killed for want of memory since it started; null where it does not say (Linux 4.13 and later does). */
export function oomKills(): number | null {
  try {
    const count = /^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8'))?.[1]
    return count === undefined ? null : Number(count)
  } catch {
    return null
  }
}
