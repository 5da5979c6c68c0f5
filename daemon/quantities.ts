// Durations and sizes as people write them: `8m`, `20s`, `500ms`, `256MiB`.

const MS_PER: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const BYTES_PER: Record<string, number> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40
}

/** Milliseconds of `500ms`, `20s`, `8m`, `2h`, `1d`, `1h30m`; undefined when it is none of these. A bare number is refused: its unit would be a guess. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim()
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(trimmed)) return undefined
  let total = 0
  for (const [, count, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(count) * MS_PER[unit!]!
  return Number.isFinite(total) ? Math.round(total) : undefined
}

/** Bytes of `64KiB`, `1.5GB`, `1048576`; undefined when it is none of these. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$/.exec(text.trim())
  if (match === null) return undefined
  const bytes = Number(match[1]) * BYTES_PER[match[2] ?? 'B']!
  return Number.isSafeInteger(Math.round(bytes)) ? Math.round(bytes) : undefined
}

/** Bytes a second of `1MB/s`, `500kB/s`; undefined when it is none of these. The `/s` may be left out. */
export function parseRate(text: string): number | undefined {
  return parseSize(text.trim().replace(/\/s$/, ''))
}

/** A size for people, such as `256 MiB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const per = BYTES_PER[unit]!
    if (bytes >= per) return `${Number((bytes / per).toFixed(1))} ${unit}`
  }
  return `${bytes} B`
}
