// Turns valibot's issues into the daemon's: each wrong value with its path, what may stand there, and the known key nearest to an unknown one.
import type { BaseIssue, GenericSchema } from 'valibot'
import type { Issue } from './errors.ts'
import { nearestName } from './nearest-name.ts'

type Path = (string | number)[]

/** Issues shown at most: past these, the first ones say enough. */
const MAX_ISSUES = 50

/** One issue for each wrong path, in the order they were found. */
export function wrongValues(
  schema: GenericSchema,
  root: unknown,
  issues: readonly BaseIssue<unknown>[],
  lineOf: (path: Path) => number | undefined = () => undefined
): Issue[] {
  const found = new Map<string, Issue>()
  for (const issue of issues) {
    const path = (issue.path ?? []).map(item => item.key as string | number)
    const text = path.join('.')
    if (found.has(text) || found.size >= MAX_ISSUES) continue
    const line = lineOf(path)
    const at = line === undefined ? {} : { line }
    if (issue.type === 'strict_object' && issue.expected === 'never') {
      const name = String(path.at(-1))
      const known = knownKeys(schema, root, path.slice(0, -1))
      const nearest = nearestName(name, known)
      const allowed = known.length === 0 ? 'no key' : `one of ${known.join(', ')}`
      found.set(text, {
        code: 'manifest_unknown_key',
        path: text,
        value: issue.input,
        allowed,
        ...(nearest === undefined ? {} : { nearest }),
        ...at
      })
    } else if (issue.received === 'undefined') {
      found.set(text, { code: 'manifest_missing_key', path: text, value: undefined, allowed: wantedAt(schema, root, path), ...at })
    } else found.set(text, { code: 'manifest_value', path: text, value: valueAt(root, path), allowed: issue.message, ...at })
  }
  return [...found.values()]
}

/** One sentence for an issue; `whole` names the text it stands in, unless the issue itself does. */
export function issueSentence(issue: Issue, whole: string): string {
  const what = issue.source ?? whole
  const where = issue.line === undefined ? '' : ` (line ${issue.line})`
  if (issue.code.endsWith('unknown_key')) {
    const guess = issue.nearest === undefined ? `known here: ${issue.allowed.replace(/^one of /, '')}` : `did you mean ${issue.nearest}?`
    return `unknown key ${issue.path} in ${what}${where}: ${guess}`
  }
  const path = issue.path === '' ? what : `${issue.path} in ${what}`
  if (issue.code.endsWith('missing_key')) return `${path} is missing${where}: it must be ${issue.allowed}`
  return `${path} is ${shown(issue.value)}${where}: it must be ${issue.allowed}`
}

/** A value as a person can recognise it, at most 80 characters. */
export function shown(value: unknown): string {
  let text: string | undefined
  try {
    text = typeof value === 'number' ? String(value) : JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part))
  } catch {
    text = 'what has no text'
  }
  // An object of a peer's may have a toString of its own: it is not asked.
  text ??= typeof value
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** The keys an object may have at a path, following the variant that the value chose. */
function knownKeys(schema: unknown, root: unknown, path: Path): string[] {
  return [...new Set(schemasAt(schema, root, path).flatMap(node => Object.keys(node.entries ?? {})))]
}

/** The words with which the schema at a path says what it wants. */
function wantedAt(schema: unknown, root: unknown, path: Path): string {
  const words = schemasAt(schema, root, path).map(node => node.message)
  return words.find(message => typeof message === 'string') ?? 'given'
}

/** The parts of a valibot schema that a walk needs. */
interface SchemaNode {
  type?: string
  wrapped?: unknown
  options?: unknown[]
  entries?: Record<string, unknown>
  key?: string
  item?: unknown
  message?: unknown
}

function schemasAt(schema: unknown, value: unknown, path: Path): SchemaNode[] {
  if (typeof schema !== 'object' || schema === null) return []
  const node = schema as SchemaNode
  if (node.wrapped !== undefined) return schemasAt(node.wrapped, value, path)
  const [first, ...rest] = path
  if (Array.isArray(node.options) && (node.type === 'variant' || node.type === 'union')) {
    const chosen = node.options.filter(option => node.type !== 'variant' || fits(option, node.key ?? '', value))
    const inside = (chosen.length === 0 ? node.options : chosen).flatMap(option => schemasAt(option, value, path))
    return first === undefined ? [node, ...inside] : inside
  }
  if (first === undefined) return [node]
  return schemasAt(node.entries === undefined ? node.item : node.entries[first], valueAt(value, [first]), rest)
}

function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | null | undefined)?.[key], root)
}

function fits(option: unknown, key: string, value: unknown): boolean {
  const entry = (option as SchemaNode).entries?.[key] as { literal?: unknown; options?: unknown[] } | undefined
  const wanted = valueAt(value, [key])
  return entry?.literal === wanted || entry?.options?.includes(wanted) === true
}
