// Reads YAML or JSON that a person wrote, and remembers on which line each value stands.
import { isMap, LineCounter, type Node, parseDocument } from 'yaml'

export interface YamlText {
  value: unknown
  /** Line (from 1) of the value at a path, or of the key where the path's last part is an unknown key. */
  lineOf(path: readonly (string | number)[]): number | undefined
}

/** What stands wrong in a text that cannot be parsed at all. */
export interface YamlFault {
  line: number | undefined
  /** One sentence. */
  message: string
}

/** Aliases that one document may expand: more are a bomb, not a configuration. */
const MAX_ALIASES = 100

/** Levels of a document: what people write has ten. Some thousands make the parser recurse until V8 cannot compile its patterns and ends the process. */
const MAX_LEVELS = 100

/** Whether a text may nest deeper than is read; counted before it is parsed, brackets inside of texts too. */
export function nestsTooDeep(text: string): boolean {
  let brackets = 0
  let levels = 0
  let isIndented = true
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!
    if (character === '\n') {
      isIndented = true
      levels = 0
    } else if (character === '[' || character === '{') brackets++
    else if (character === ']' || character === '}') brackets = Math.max(0, brackets - 1)
    // Each space, dash and question mark before a line's first word may open a level of its own.
    if (isIndented && ' -?:\t'.includes(character)) levels++
    else if (character !== '\n') isIndented = false
    if (brackets > MAX_LEVELS || levels > 2 * MAX_LEVELS) return true
  }
  return false
}

/** Parses one document (JSON is YAML too); the first fault is returned, not thrown. */
export function readYaml(text: string): YamlText | YamlFault {
  if (nestsTooDeep(text)) return { line: undefined, message: `it has more than ${MAX_LEVELS} levels` }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const fault = document.errors[0]
  if (fault !== undefined) return { line: lines.linePos(fault.pos[0]).line, message: fault.message }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (error) {
    return { line: undefined, message: error instanceof Error ? error.message : String(error) }
  }
  return {
    value,
    lineOf(path) {
      let node: unknown = document.contents
      let offset = (node as Node | null)?.range?.[0]
      for (const key of path) {
        if (isMap(node)) {
          const pair = node.items.find(item => String((item.key as { value?: unknown })?.value ?? item.key) === String(key))
          if (pair === undefined) break
          offset = (pair.key as Node | null)?.range?.[0] ?? offset
          node = pair.value
        } else {
          node = document.getIn([...path.slice(0, path.indexOf(key) + 1)], true)
          offset = (node as Node | undefined)?.range?.[0] ?? offset
        }
      }
      return offset === undefined ? undefined : lines.linePos(offset).line
    }
  }
}
